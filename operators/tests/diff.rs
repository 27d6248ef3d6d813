//! What a changed topology means for the one that runs.

use onceflow::prelude::*;
use onceflow::topology::{Impact, TopologyDiff};

type Orders = KStream<String, i64>;

fn built(write: impl Fn(&StreamsBuilder, Orders)) -> Result<Topology, Error> {
    let builder = StreamsBuilder::new();
    let orders = builder.stream("orders", Consumed::new());
    write(&builder, orders);
    builder.build()
}

fn count(orders: &Orders) {
    let by_first = orders.select_key(|customer, _| customer[..1].to_owned());
    by_first
        .group_by_key(Grouped::new())
        .count()
        .to_stream()
        .to("counts", Produced::new());
}

fn diff(
    old: impl Fn(&StreamsBuilder, Orders),
    new: impl Fn(&StreamsBuilder, Orders),
) -> Result<TopologyDiff, Error> {
    built(new)?.diff(&built(old)?.describe())
}

#[test]
fn the_same_topology_changes_nothing() -> Result<(), Error> {
    let same = diff(|_, orders| count(&orders), |_, orders| count(&orders))?;
    assert_eq!(same.changes(), []);
    assert_eq!(same.impact(), Impact::Safe);
    Ok(())
}

#[test]
fn a_node_before_a_nameless_store_takes_its_state_away() -> Result<(), Error> {
    let diff = diff(
        |_, orders| count(&orders),
        |_, orders| count(&orders.filter(|_, amount| *amount > 0)),
    )?;
    let told = diff.to_string();
    let lines: Vec<&str> = told.lines().collect();
    let expected = [
        "Reset: store KSTREAM-AGGREGATE-STATE-STORE-0000000002 seems to be \
         KSTREAM-AGGREGATE-STATE-STORE-0000000003 now, which begins empty: name it \
         KSTREAM-AGGREGATE-STATE-STORE-0000000002, or reset the application",
        "Reset: repartition topic KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition is no \
         longer read: let the old version drain it before it stops, or reset the application",
        "Safe: repartition topic KSTREAM-AGGREGATE-STATE-STORE-0000000003-repartition is new",
    ];
    assert_eq!(lines, expected);
    Ok(())
}

#[test]
fn a_named_store_stays_whatever_moves_around_it() -> Result<(), Error> {
    let named = |orders: &Orders| {
        orders
            .group_by_key(Grouped::new())
            .count_with(Materialized::as_store("counts"))
            .to_stream()
            .to("counts", Produced::new());
    };
    let other = |builder: &StreamsBuilder| {
        let other = builder.stream("audit", Consumed::<String, i64>::new());
        other.to("audited", Produced::new());
    };
    let moved = {
        let builder = StreamsBuilder::new();
        other(&builder);
        named(&builder.stream("orders", Consumed::new()));
        builder.build()?
    };
    let diff = moved.diff(&built(|_, orders| named(&orders))?.describe())?;
    let told = diff.to_string();
    let lines: Vec<&str> = told.lines().collect();
    let expected = [
        "Restore: store counts moves from sub-topology 0 to 1 and is restored from its changelog",
        "Safe: input audit is new and begins where auto.offset.reset says",
        "Safe: input orders moves from sub-topology 0 to 1",
        "Safe: output audited is new",
    ];
    assert_eq!(lines, expected);
    Ok(())
}

#[test]
fn what_is_no_description_is_refused() -> Result<(), Error> {
    let error = built(|_, orders| count(&orders))?.diff("{}").unwrap_err();
    assert!(
        error.to_string().contains("describes no topology"),
        "{error}"
    );
    Ok(())
}
