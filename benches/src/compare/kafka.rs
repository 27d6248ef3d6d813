//! Apache Kafka and Kafka Streams from their published artifacts, which Maven resolves and builds once.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::Failure;
use crate::os;
use crate::topics::Admin;

/// How long a broker may take to serve.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The version, as `pom.xml` names it.
pub const VERSION: &str = "4.3.1";

/// The broker's JVM: enough memory and all of its compilers, as in production.
const BROKER_JVM: [&str; 3] = ["-Xms1g", "-Xmx1g", "-XX:-UsePerfData"];

const BROKER_SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.ms=-1
";

/// The folder of the Maven project.
fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka-streams")
}

/// The class path of broker and peer, built now if it is not there or older than its sources.
///
/// # Errors
///
/// When Maven is missing or fails.
pub fn class_path() -> Result<String, Failure> {
    let project = project();
    let target = project.join("target");
    let jar = target.join("kafka-streams-peer-0.1.0.jar");
    let jars = target.join("jars");
    let class_path = format!("{}:{}/*", jar.display(), jars.display());
    let built = jar.metadata().and_then(|file| file.modified()).ok();
    let stamp = target.join("built");
    let sources = ["pom.xml", "src/main/java/onceflow"].map(|path| project.join(path));
    let newest = sources.iter().filter_map(|path| newest(path)).max();
    if built >= newest && built.is_some() && stamp.exists() {
        return Ok(class_path);
    }
    let copied = format!("-DoutputDirectory={}", jars.display());
    let status = Command::new("mvn")
        .args([
            "-q",
            "-B",
            "package",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
        ])
        .arg(copied)
        .current_dir(&project)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| {
            format!("mvn cannot be started ({error}): install Maven and a JDK, 17 or later")
        })?;
    if !status.success() {
        return Err("mvn failed to build benches/kafka-streams".into());
    }
    fs::write(stamp, "")?;
    Ok(class_path)
}

fn newest(path: &Path) -> Option<std::time::SystemTime> {
    let own = path.metadata().and_then(|file| file.modified()).ok();
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    below
        .filter_map(|entry| newest(&entry.path()))
        .chain(own)
        .max()
}

/// A program of the class path.
#[must_use]
pub fn java(class_path: &str, jvm: &[&str], class: &str) -> Command {
    let home = std::env::var_os("JAVA_HOME");
    let program = home.map_or_else(
        || PathBuf::from("java"),
        |home| Path::new(&home).join("bin/java"),
    );
    let mut command = Command::new(program);
    command.args(jvm).arg("-cp").arg(class_path).arg(class);
    command
}

/// A broker with a folder of its own. Dropping it ends it.
#[derive(Debug)]
pub struct Kafka {
    process: Child,
    bootstrap_servers: String,
    _home: TempDir,
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Kafka {
    /// Starts a broker and waits until it serves.
    ///
    /// # Errors
    ///
    /// When Java is missing or the broker does not serve within a minute.
    pub fn start(class_path: &str) -> Result<Self, Failure> {
        let home = tempfile::Builder::new()
            .prefix("onceflow-benches-")
            .tempdir()?;
        let (clients, controller) = (free_port()?, free_port()?);
        let config = home.path().join("server.properties");
        let listeners =
            format!("PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controller}");
        let data = home.path().join("data");
        let addresses = format!(
            "listeners={listeners}\nadvertised.listeners={listeners}\nlog.dirs={}\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n",
            data.display()
        );
        fs::write(&config, format!("{BROKER_SETTINGS}{addresses}"))?;
        let formatted = java(class_path, &BROKER_JVM, "kafka.tools.StorageTool")
            .args([
                "format",
                "--standalone",
                "-t",
                "b25jZWZsb3ctYmVuY2hlcw",
                "-c",
            ])
            .arg(&config)
            .output()
            .map_err(|error| {
                format!("java cannot be started ({error}): install a JDK, 17 or later")
            })?;
        if !formatted.status.success() {
            return Err(String::from_utf8_lossy(&formatted.stderr)
                .into_owned()
                .into());
        }
        let log = home.path().join("broker.log");
        let output = fs::File::create(&log)?;
        let process = java(class_path, &BROKER_JVM, "kafka.Kafka")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let kafka = Kafka {
            process,
            bootstrap_servers: format!("127.0.0.1:{clients}"),
            _home: home,
        };
        let admin = Admin::new(&kafka.bootstrap_servers)?;
        let deadline = os::now() + START_TIMEOUT;
        while !admin.is_served(Duration::from_millis(200)) {
            if os::now() > deadline {
                let log = fs::read_to_string(&log)?;
                let from = log.len().saturating_sub(4_000);
                return Err(format!("the broker does not serve:\n{}", &log[from..]).into());
            }
        }
        Ok(kafka)
    }

    /// Where clients connect.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
