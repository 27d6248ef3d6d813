//! The bank without a broker, a crash wherever one is due.

use onceflow::prelude::*;

use crate::model::{OPENING_BALANCE, Topics, Transfer};
use crate::worker::bank;

struct Bank {
    driver: TestDriver,
    topics: Topics,
}

impl Bank {
    fn open() -> Self {
        let topics = Topics::of("");
        let driver = TestDriver::builder(bank(&topics).unwrap())
            .application_id("bank")
            .partitions(&*topics.transfers, 4)
            .build()
            .unwrap();
        Bank { driver, topics }
    }

    fn transfer(&self, id: u64, from: &str, to: &str, amount: i64) {
        let transfer = Transfer {
            id,
            from: from.to_owned(),
            to: to.to_owned(),
            amount,
        };
        let input = self
            .driver
            .input_topic(&self.topics.transfers, utf8(), json::<Transfer>());
        input
            .pipe(from, transfer, Timestamp::from_millis(0))
            .unwrap();
    }

    /// Keys and ids of what was written to a topic.
    fn written(&self, topic: &str) -> Vec<(String, u64)> {
        let output = self.driver.output_topic(topic, utf8(), json::<Transfer>());
        let records = output.read_key_values().unwrap().into_iter();
        records.map(|(key, transfer)| (key, transfer.id)).collect()
    }

    fn balance(&self, name: &str) -> Option<i64> {
        let balances = self
            .driver
            .key_value_store::<String, i64>("balances")
            .unwrap();
        balances.get(&name.to_owned()).unwrap()
    }
}

#[test]
fn an_accepted_transfer_is_debited_here_and_credited_there() {
    let bank = Bank::open();
    bank.transfer(0, "ada", "ben", 300);
    assert_eq!(bank.written(&bank.topics.applied), [("ben".to_owned(), 0)]);
    assert_eq!(bank.balance("ada"), Some(OPENING_BALANCE - 300));
    assert_eq!(bank.balance("ben"), Some(OPENING_BALANCE + 300));
}

#[test]
fn a_transfer_of_more_than_there_is_changes_nothing_and_is_said_to_be_refused() {
    let bank = Bank::open();
    bank.transfer(0, "ada", "ben", OPENING_BALANCE + 1);
    assert_eq!(bank.written(&bank.topics.refused), [("ada".to_owned(), 0)]);
    assert_eq!(bank.written(&bank.topics.applied), []);
    assert_eq!((bank.balance("ada"), bank.balance("ben")), (None, None));
}

#[test]
fn an_account_can_be_emptied_and_pay_again_from_what_it_is_paid() {
    let bank = Bank::open();
    bank.transfer(0, "ada", "ben", OPENING_BALANCE);
    bank.transfer(1, "ada", "ben", 1);
    bank.transfer(2, "ben", "ada", 5);
    bank.transfer(3, "ada", "ben", 5);
    let ids = |written: Vec<(String, u64)>| -> Vec<u64> {
        written.into_iter().map(|(_, id)| id).collect()
    };
    assert_eq!(ids(bank.written(&bank.topics.applied)), [0, 2, 3]);
    assert_eq!(ids(bank.written(&bank.topics.refused)), [1]);
    assert_eq!(bank.balance("ada"), Some(0));
}

#[test]
fn balances_survive_a_crash() {
    let bank = Bank::open();
    bank.transfer(0, "ada", "ben", OPENING_BALANCE - 400);
    bank.driver.restart().unwrap();
    bank.transfer(1, "ada", "ben", 401);
    assert_eq!(bank.written(&bank.topics.refused), [("ada".to_owned(), 1)]);
    assert_eq!(bank.balance("ada"), Some(400));
}

#[test]
fn debit_and_credit_run_in_one_task_so_that_they_can_share_the_balances() {
    let described = bank(&Topics::of("")).unwrap().describe();
    assert!(
        described.contains("debit (stores: [balances])"),
        "{described}"
    );
    assert!(
        described.contains("credit (stores: [balances])"),
        "{described}"
    );
    assert!(!described.contains("Sub-topology: 1"), "{described}");
}
