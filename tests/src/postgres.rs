//! A PostgreSQL server of the tests' own, to be killed and started again.
//!
//! ```text
//!   test process ──child──> postgres, on a Unix socket in its folder
//!        └──stdin pipe──> watchdog: `read` returns when the pipe closes, then `kill -9`, `rm -rf`
//! ```
//!
//! # Invariants
//!
//! - **No orphan**, however the test process ends.
//! - **A killed server loses nothing that it had acknowledged as on disk**: the machine lives on, so
//!   what was written is there without a flush. What it had not written is lost, and by default it
//!   acknowledges before it writes: a sink has to ask for more.
//! - **A test has a database of its own.**

use std::{
    fmt, fs,
    fs::{File, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use onceflow_postgres::tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use crate::{cluster::unique, wait::eventually};

/// Where a folder with `initdb` and `postgres` is looked for first.
const PROGRAMS: &str = "ONCEFLOW_POSTGRES_BIN";

/// Where Debian and its like put the programs, a folder a version.
const DEBIAN: &str = "/usr/lib/postgresql";

const REMEDY: &str = "install PostgreSQL 13 or newer (Debian and Ubuntu: apt-get install \
                      postgresql), or set ONCEFLOW_POSTGRES_BIN to the folder of initdb and postgres";

/// Quick to start, and as careless as a server can be made whose machine does not crash.
const SETTINGS: [&str; 6] = [
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "wal_writer_delay=10s",
    "max_connections=300",
    "shared_buffers=16MB",
];

/// Waits for its stdin to close; `$1` is the folder. A process is only killed if it runs there.
const WATCHDOG: &str = r#"trap '' INT TERM HUP; read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
[ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$1/data" ] && kill -9 "$pid" && sleep 0.3
rm -rf "$1""#;

/// Users that a server may run as, if the tests run as root, which it refuses.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// A running server.
pub struct Postgres {
    programs: PathBuf,
    home: PathBuf,
    /// User and group that it runs as, if not as the tests do.
    user: Option<(u32, u32)>,
    server: Mutex<Option<Child>>,
    watchdog: Child,
}

impl Postgres {
    /// The server that all tests of this process share; it is not killed.
    ///
    /// # Panics
    ///
    /// When it cannot start, with the reason and what to do about it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of the test's own.
    ///
    /// # Panics
    ///
    /// As [`shared`](Self::shared).
    #[must_use]
    pub fn start() -> Self {
        let programs = programs();
        let user = user();
        let home = tempfile::Builder::new().prefix("onceflow-pg-").tempdir();
        let home = home.expect("a folder can be made").keep();
        fs::set_permissions(&home, Permissions::from_mode(0o700)).expect("the folder is ours");
        if let Some((user, group)) = user {
            chown(&home, Some(user), Some(group)).expect("root may give folders away");
        }
        let server = Self {
            watchdog: watch(&home),
            programs,
            user,
            home,
            server: Mutex::default(),
        };
        let data = server.home.join("data");
        let flags = [
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ];
        let mut initdb = server.command("initdb");
        let initdb = initdb.args(flags).arg("-D").arg(data).output();
        let initdb = initdb.unwrap_or_else(|error| panic!("cannot run initdb ({error}): {REMEDY}"));
        let said = String::from_utf8_lossy(&initdb.stderr);
        assert!(initdb.status.success(), "initdb: {said}");
        server.restart();
        server
    }

    /// A new database in it.
    ///
    /// # Panics
    ///
    /// When the server does not make one.
    #[must_use]
    pub fn database(&self, name: &str) -> Database {
        let name = unique(name);
        self.maintenance()
            .run(&format!("CREATE DATABASE \"{name}\""));
        self.named(name)
    }

    fn maintenance(&self) -> Database {
        self.named("postgres".to_owned())
    }

    fn named(&self, name: String) -> Database {
        let host = self.home.display();
        Database {
            connection: format!("host={host} user=postgres dbname='{name}'"),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.join(".s.PGSQL.5432")
    }

    /// Ends it with SIGKILL and waits until it is gone; its backends notice.
    pub fn kill(&self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut server) = server.take() {
            end(&mut server);
        }
    }

    /// Starts it after a kill, and waits until it serves.
    ///
    /// # Panics
    ///
    /// When it does not, with the end of its log.
    pub fn restart(&self) {
        let maintenance = self.maintenance();
        let serves = || {
            let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
            let ended = |server: &mut Child| server.try_wait().is_ok_and(|status| status.is_some());
            // Backends of the killed one may still hold its memory: it ends, and is started again.
            if server.as_mut().is_none_or(ended) {
                *server = Some(self.spawn());
            }
            maintenance.try_rows("SELECT 1").ok()
        };
        let log = self.home.join("log");
        let what = format!("PostgreSQL serves; its log is {}", log.display());
        eventually(&what, serves);
    }

    fn spawn(&self) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.home.join("log"));
        let log = log.expect("the folder can be written");
        let mut postgres = self.command("postgres");
        for setting in SETTINGS {
            postgres.args(["-c", setting]);
        }
        let postgres = postgres.arg("-D").arg(self.home.join("data"));
        let postgres = postgres.arg("-k").arg(&self.home).stderr(log);
        let started = postgres.process_group(0).spawn();
        started.unwrap_or_else(|error| panic!("cannot run postgres ({error}): {REMEDY}"))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.current_dir(&self.home).env("LC_ALL", "C");
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        drop(self.watchdog.stdin.take());
        if let Err(error) = self.watchdog.wait() {
            tracing::debug!(%error, "the watchdog was waited for");
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({})", self.home.display())
    }
}

/// A database of a server.
#[derive(Debug, Clone)]
pub struct Database {
    /// How a sink finds it.
    pub connection: String,
}

impl Database {
    /// Runs statements.
    ///
    /// # Panics
    ///
    /// When one fails.
    pub fn run(&self, statements: &str) {
        drop(self.rows(statements));
    }

    /// The rows of a query, their columns with a space between.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[must_use]
    pub fn rows(&self, query: &str) -> Vec<String> {
        let rows = self.try_rows(query);
        rows.unwrap_or_else(|error| panic!("{query}: {error:?}"))
    }

    /// As [`rows`](Self::rows), of a server that may be away.
    ///
    /// # Errors
    ///
    /// Those of the driver.
    ///
    /// # Panics
    ///
    /// When there is no runtime to be had.
    pub fn try_rows(
        &self,
        query: &str,
    ) -> Result<Vec<String>, onceflow_postgres::tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime can be built").block_on(async {
            let mut config: Config = self.connection.parse()?;
            // What a test makes is there after a kill; what a sink writes is the sink's to see to.
            config.options("-c synchronous_commit=on");
            let (client, connection) = config.connect(NoTls).await?;
            let driver = tokio::runtime::Handle::current().spawn(connection);
            let answer = client.simple_query(query).await;
            driver.abort();
            let rows = answer?.into_iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len()).map(|column| row.get(column).unwrap_or("null"));
                    Some(values.collect::<Vec<_>>().join(" "))
                }
                _ => None,
            });
            Ok(rows.collect())
        })
    }
}

fn programs() -> PathBuf {
    if let Some(given) = std::env::var_os(PROGRAMS) {
        return PathBuf::from(given);
    }
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin"));
    let found = found.filter(|bin| bin.join("initdb").exists()).max();
    let path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).find(|bin| bin.join("initdb").exists())
    };
    let found = found.or_else(path);
    found.unwrap_or_else(|| panic!("there is no PostgreSQL on this machine: {REMEDY}"))
}

/// Whom a server runs as, which refuses to be root.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users are known");
    let find = |name: &str| {
        let mut lines = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let fields = lines.find(|fields| fields.first() == Some(&name))?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    let user = USERS.iter().find_map(|name| find(name));
    Some(user.unwrap_or_else(|| panic!("none of the users {USERS:?} exists; make one")))
}

fn watch(home: &Path) -> Child {
    let watchdog = Command::new("sh")
        .args(["-c", WATCHDOG, "onceflow-watchdog"])
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    watchdog.expect("a POSIX shell is there")
}

/// Kills and waits: both fail only for a process that has ended already.
fn end(process: &mut Child) {
    if let Err(error) = process.kill() {
        tracing::debug!(%error, "process had ended");
    }
    if let Err(error) = process.wait() {
        tracing::debug!(%error, "process was waited for");
    }
}
