//! Tables of questions: all are asked before the test fails, so that one run shows every wrong answer.

/// Fails with everything that `disagreement` says of the rows of `table`.
#[track_caller]
pub fn assert_each<T>(table: &[T], disagreement: impl Fn(&T) -> Option<String>) {
    let failures: Vec<String> = table.iter().filter_map(disagreement).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), table.len(), failures.join("\n"));
}
