//! What must not compile: a serde or a key of another type than the stream's.
//!
//! One file a claim. After a change of compiler or messages, `TRYBUILD=overwrite cargo test -p
//! onceflow --test types` writes the expectations anew; read the difference.

#[test]
fn wrong_types_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/types/*.rs");
}
