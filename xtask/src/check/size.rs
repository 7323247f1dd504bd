//! Files and functions that one can take in.

use crate::finding::Finding;
use crate::rust::{Function, Source};

/// Lines of a file, its tests aside.
const FILE_LINES_MAX: usize = 1_000;

/// Lines of half of the files, at most.
const FILE_LINES_MEDIAN_MAX: usize = 250;

/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 120;

/// Lines of 95 functions in a hundred, at most.
const FUNCTION_LINES_MOST: usize = 45;

/// Functions in a hundred that may be longer than that.
const LONG_FUNCTIONS_PERCENT: usize = 5;

/// Lines of the program's `main.rs`, which reads as a sentence.
const MAIN_LINES_MAX: usize = 150;

/// Files that may be longer, since they are tables. Each with its reason.
const LONG_TABLES: [(&str, &str); 0] = [];

/// Reports files and functions that are too long.
pub fn check(sources: &[Source<'_>]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = sources.iter().filter_map(long_file).collect();
    let functions =
        sources.iter().flat_map(|source| source.functions().into_iter().map(move |function| (source, function)));
    findings.extend(functions.filter(|(_, function)| function.lines > FUNCTION_LINES_MAX).map(|(source, function)| {
        let message =
            format!("function `{}` has {} lines; {FUNCTION_LINES_MAX} is the most", function.name, function.lines);
        Finding::new(source.path, function.line, message)
    }));
    let median = median_file(sources);
    if median > FILE_LINES_MEDIAN_MAX {
        let message = format!("half of all files have more than {median} lines; {FILE_LINES_MEDIAN_MAX} is the most");
        findings.push(Finding::new("Cargo.toml", 1, message));
    }
    findings.extend(too_many_long_functions(sources));
    findings
}

/// The figures in one line.
pub fn summary(sources: &[Source<'_>]) -> String {
    let functions = product_functions(sources);
    let long = long_functions(&functions).count();
    format!(
        "half of the {} Rust files within {} lines, {} of {} functions over {FUNCTION_LINES_MOST}",
        sources.iter().filter(|source| !source.is_test()).count(),
        median_file(sources),
        long,
        functions.len(),
    )
}

fn long_file(source: &Source<'_>) -> Option<Finding> {
    let lines = source.lines_without_tests();
    let most = if source.path == "src/main.rs" { MAIN_LINES_MAX } else { FILE_LINES_MAX };
    let is_table = LONG_TABLES.iter().any(|(path, _)| *path == source.path);
    let message =
        || format!("has {lines} lines without its tests; {most} is the most, tables are named in xtask's size check");
    (lines > most && !is_table).then(|| Finding::new(source.path, 1, message()))
}

fn median_file(sources: &[Source<'_>]) -> usize {
    let mut lines: Vec<usize> =
        sources.iter().filter(|source| !source.is_test()).map(Source::lines_without_tests).collect();
    lines.sort_unstable();
    lines.get(lines.len() / 2).copied().unwrap_or_default()
}

type Placed<'s, 'a> = (&'s Source<'a>, Function<'a>);

fn product_functions<'s, 'a>(sources: &'s [Source<'a>]) -> Vec<Placed<'s, 'a>> {
    let functions =
        sources.iter().flat_map(|source| source.functions().into_iter().map(move |function| (source, function)));
    functions.filter(|(source, function)| !source.is_test_line(function.line)).collect()
}

fn long_functions<'f, 's, 'a>(functions: &'f [Placed<'s, 'a>]) -> impl Iterator<Item = &'f Placed<'s, 'a>> {
    functions.iter().filter(|(_, function)| function.lines > FUNCTION_LINES_MOST)
}

fn too_many_long_functions(sources: &[Source<'_>]) -> Vec<Finding> {
    let functions = product_functions(sources);
    let long = long_functions(&functions).count();
    if long * 100 <= functions.len() * LONG_FUNCTIONS_PERCENT {
        return Vec::new();
    }
    let finding = |(source, function): &Placed<'_, '_>| {
        let message = format!(
            "function `{}` has {} lines; {long} of {} functions have more than {FUNCTION_LINES_MOST}, \
             {LONG_FUNCTIONS_PERCENT} in a hundred is the most",
            function.name,
            function.lines,
            functions.len(),
        );
        Finding::new(source.path, function.line, message)
    };
    long_functions(&functions).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    fn found(path: &str, text: &str) -> Vec<String> {
        printed(&check(&[Source::read(path, text)]))
    }

    /// A function of `lines` lines, at least 2.
    fn function(name: &str, lines: usize) -> String {
        format!("fn {name}() {{\n{}}}\n", "a();\n".repeat(lines - 2))
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let found_files = found("crates/http/src/a.rs", &"\n".repeat(1_001));
        let expected = "crates/http/src/a.rs:1: has 1001 lines without its tests; 1000 is the most, tables are named in xtask's size check";
        assert_eq!(found_files[0], expected);
        let tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(1_000));
        assert!(found("crates/http/src/a.rs", &tests).is_empty());
    }

    #[test]
    fn the_program_reads_as_a_sentence() {
        assert_eq!(found("src/main.rs", &"\n".repeat(151)).len(), 1);
    }

    #[test]
    fn half_of_the_files_are_short() {
        let expected = "Cargo.toml:1: half of all files have more than 251 lines; 250 is the most";
        assert_eq!(found("crates/http/src/a.rs", &"\n".repeat(251)), [expected]);
    }

    #[test]
    fn a_long_function_is_found_wherever_it_stands() {
        let expected = "crates/http/tests/a.rs:1: function `a` has 121 lines; 120 is the most";
        let text = function("a", 121);
        let mut source = Source::read("crates/http/tests/a.rs", &text);
        source.mark_as_test();
        assert_eq!(printed(&check(&[source])), [expected]);
    }

    #[test]
    fn few_functions_are_long() {
        let text = function("a", 46) + &function("b", 2).repeat(19);
        assert!(found("crates/http/src/a.rs", &text).is_empty());
        let text = function("a", 46) + &function("b", 2).repeat(18);
        let expected = "crates/http/src/a.rs:1: function `a` has 46 lines; 1 of 19 functions have more than 45, 5 in a hundred is \
                        the most";
        assert_eq!(found("crates/http/src/a.rs", &text), [expected]);
    }
}
