use std::time::Duration;

use super::TestDriver;
use super::testing::{Tick, check, each, history, pipe, sink, source, ticking};
use crate::processor::PunctuationKind;
use crate::time::Timestamp;

#[test]
fn stream_time_makes_punctuations_due_and_missed_ones_coalesce() {
    let ticks = |input, expect| check(ticking(PunctuationKind::StreamTime, 10), input, expect);
    ticks("a=x@3", "tick=3@3");
    ticks("a=x@3 a=x@9 a=x@10", "tick=3@3 tick=10@10");
    ticks("a=x@35 a=x@12 a=x@39 a=x@41", "tick=35@35 tick=41@41");
}

#[test]
fn the_wall_clock_stands_still_until_it_is_turned() {
    let driver = TestDriver::builder(ticking(PunctuationKind::WallClock, 10).build().unwrap())
        .start_time(Timestamp::from_millis(1_000))
        .build()
        .unwrap();
    for (turn_ms, expect) in [
        (9, ""),
        (1, "tick=1010@1010"),
        (35, "tick=1010@1010 tick=1045@1045"),
    ] {
        pipe(&driver, "in", "a=x@99999").unwrap();
        driver
            .advance_wall_clock(Duration::from_millis(turn_ms))
            .unwrap();
        assert_eq!(history(&driver, "out"), expect);
    }
    assert_eq!(driver.wall_clock(), Timestamp::from_millis(1_045));
}

#[test]
fn stream_time_is_a_tasks_own_unless_it_is_to_be_shared() {
    for (shared, expect) in [(false, ""), (true, "tick=25@25")] {
        let mut builder = each(|_, _| Ok(()));
        let other = source(&mut builder, "other");
        let tick =
            builder.add_processor("tick", || Tick(PunctuationKind::StreamTime, 10), &[&other]);
        sink(&mut builder, "ticks", &tick);
        let driver = TestDriver::builder(builder.build().unwrap());
        let driver = if shared {
            driver.shared_stream_time()
        } else {
            driver
        };
        let driver = driver.build().unwrap();
        pipe(&driver, "in", "a=x@25").unwrap();
        assert_eq!(history(&driver, "ticks"), expect, "shared: {shared}");
    }
}
