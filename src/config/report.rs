//! What is wrong with a configuration, as text or as values for `--json`. How a problem is shown in its line is in `excerpt`;
//! what counts as wrong is not here (`check`, `build`).

use std::cell::RefCell;
use std::fmt;
use std::iter;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::Renderer;
use annotate_snippets::renderer::DecorStyle;
use serde::{Serialize, Serializer};

use super::excerpt;

/// One thing that is wrong, or that deserves a second look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The configuration's file.
    pub file: PathBuf,
    /// Line in `file`, from 1; `None` if the place is a variable.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// The environment variable that holds the value, if one does.
    pub variable: Option<String>,
    /// The key, such as `callers[0].key_sha256[1]`; empty for the whole file.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// What kind of thing is wrong.
    pub kind: ProblemKind,
    #[serde(skip)]
    pub(super) span: Range<usize>,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// Not TOML.
    Syntax,
    /// A key or variable that means nothing.
    Unknown,
    /// A key or a file that has to be there.
    Missing,
    /// A value that is not valid.
    Invalid,
    /// A file that we may not read, or that others may.
    Permission,
    /// Allowed, but perhaps not what was meant.
    Warning,
}

/// The exit code that a set of problems asks for (contract.md section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// 78.
    Configuration,
    /// 77: nothing but permissions is wrong.
    Permission,
}

/// What was found in a configuration that cannot be used.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What is wrong.
    pub problems: Problems,
    /// What is allowed, but perhaps not meant.
    pub warnings: Problems,
}

/// Everything that is wrong, in the order of the file. Holds the file's text with what may be secret blanked out.
#[derive(Clone, Default)]
pub struct Problems {
    list: Vec<Problem>,
    source: String,
}

impl Problems {
    /// Each problem, in the order of the file; those of variables come last.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// How a process that cannot go on should exit.
    pub fn exit_kind(&self) -> ExitKind {
        let permission = |problem: &Problem| problem.kind == ProblemKind::Permission;
        if !self.list.is_empty() && self.list.iter().all(permission) {
            ExitKind::Permission
        } else {
            ExitKind::Configuration
        }
    }

    /// For a person: each problem with its line, a mark under the text, and the remedy.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let reports: Vec<String> = (self.list.iter())
            .map(|problem| excerpt::render(&renderer, &self.source, problem))
            .collect();
        reports.join("\n\n")
    }
}

/// One line each; [`Problems::render`] shows more.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.list.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.variable, self.line, self.column) {
            (Some(variable), _, _) => write!(f, "{variable}: ")?,
            (None, Some(line), Some(column)) => {
                write!(f, "{}:{line}:{column}: ", self.file.display())?;
            }
            (None, _, _) => write!(f, "{}: ", self.file.display())?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}

impl std::error::Error for Problems {}

/// The list: what `--json` prints.
impl Serialize for Problems {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// These bytes of the file.
    Span(Range<usize>),
    /// An environment variable.
    Variable(String),
    /// The file as a whole: what should be there is not.
    File,
}

/// What to say of a place.
pub(super) struct Finding {
    pub(super) kind: ProblemKind,
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn new(
        kind: ProblemKind,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn invalid(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(ProblemKind::Invalid, message, remedy)
    }
}

/// Collects findings while the configuration is read. All readers share it, one after the other: hence the cells.
pub(super) struct Findings {
    file: PathBuf,
    source: String,
    /// Where each line begins.
    lines: Vec<usize>,
    list: RefCell<Vec<Problem>>,
    masks: RefCell<Vec<Range<usize>>>,
}

impl Findings {
    pub(super) fn new(file: &Path, source: &str) -> Self {
        let begun = source.match_indices('\n').map(|(newline, _)| newline + 1);
        Self {
            file: file.to_owned(),
            source: source.to_owned(),
            lines: iter::once(0).chain(begun).collect(),
            list: RefCell::default(),
            masks: RefCell::default(),
        }
    }

    pub(super) fn report(&self, place: &Place, key: &str, finding: Finding) {
        let (span, variable) = match place {
            Place::Span(span) => (Some(span.clone()), None),
            Place::Variable(name) => (None, Some(name.clone())),
            Place::File => (None, None),
        };
        let position = span.as_ref().map(|span| self.position(span.start));
        self.list.borrow_mut().push(Problem {
            file: self.file.clone(),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
            variable,
            key: key.to_owned(),
            message: finding.message,
            remedy: finding.remedy,
            kind: finding.kind,
            span: span.unwrap_or_default(),
        });
    }

    /// Blanks out a place's text in whatever is shown: it may be a secret.
    pub(super) fn mask(&self, place: &Place) {
        if let Place::Span(span) = place {
            self.masks.borrow_mut().push(span.clone());
        }
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|begin| *begin <= offset);
        let before = self.source.get(self.lines[line - 1]..offset);
        (line, before.unwrap_or_default().chars().count() + 1)
    }

    pub(super) fn finish(self) -> Broken {
        let mut source = self.source;
        for span in self.masks.into_inner() {
            blank(&mut source, span);
        }
        let mut list = self.list.into_inner();
        list.sort_by_key(|problem| (problem.line.is_none(), problem.line, problem.column));
        let (warnings, list) = list
            .into_iter()
            .partition(|problem| problem.kind == ProblemKind::Warning);
        let shown = |list| Problems {
            list,
            source: source.clone(),
        };
        Broken {
            problems: shown(list),
            warnings: shown(warnings),
        }
    }
}

/// Replaces what is in `span` by stars, byte for byte, so that every other place stays where it is.
fn blank(source: &mut String, span: Range<usize>) {
    let Some(text) = source.get(span.clone()) else {
        return;
    };
    let stars = (text.chars())
        .map(|c| match c {
            '\n' => "\n".to_owned(),
            c => "*".repeat(c.len_utf8()),
        })
        .collect::<String>();
    source.replace_range(span, &stars);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str, span: Range<usize>, masked: bool) -> Problems {
        let findings = Findings::new(Path::new("gateway.toml"), source);
        let place = Place::Span(span);
        if masked {
            findings.mask(&place);
        }
        let wrong = Finding::invalid("is wrong", "write it right");
        findings.report(&place, "a.b", wrong);
        findings.finish().problems
    }

    #[test]
    fn a_problem_is_shown_with_its_line_a_mark_and_the_remedy() {
        let problems = found("x = 1\né = \"bad\"\n", 11..16, false);
        let text = problems.render(false);
        for part in [
            "error: a.b: is wrong",
            "gateway.toml:2:5",
            "\"bad\"",
            "^^^^^",
            "write it right",
        ] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
        assert_eq!(
            problems.to_string(),
            "gateway.toml:2:5: a.b: is wrong; write it right"
        );
    }

    #[test]
    fn a_file_that_is_full_of_problems_is_shown_line_by_line() {
        let source = "x = 1\r\n".repeat(8_000);
        let findings = Findings::new(Path::new("f"), &source);
        for (begin, _) in source.match_indices('x') {
            let place = Place::Span(begin..begin + 1);
            findings.report(&place, "x", Finding::invalid("is wrong", "right it"));
        }
        let text = findings.finish().problems.render(false);
        assert!(text.contains("f:8000:1\n") && text.contains("8000 | x = 1\n"));
    }

    #[test]
    fn a_long_line_is_cut_and_its_place_is_still_the_whole_lines() {
        let source = format!(
            "a = \"é{}\"; bad = 1 # {}",
            "x".repeat(995),
            "y".repeat(1_000)
        );
        let begin = source.find("bad").unwrap();
        let text = found(&source, begin..begin + 3, false).render(false);
        assert!(text.contains("gateway.toml:1:1005\n"), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        let column = |line: &str, part| line.find(part).map(|at| line[..at].chars().count());
        assert_eq!(column(lines[3], "bad"), column(lines[4], "^^^"), "{text}");
        assert!(
            lines.iter().all(|line| line.chars().count() < 100),
            "{text}"
        );
        let text = found(&source, begin..begin + 3, false).render(true);
        assert!(text.contains("gateway.toml:1:1005"), "{text}");
    }

    #[test]
    fn what_is_masked_is_shown_nowhere() {
        let problems = found("key = \"hünter2\"\n", 6..16, true);
        let json = serde_json::to_string(&problems).unwrap();
        let (shown, listed) = (problems.render(true), problems.to_string());
        for text in [shown, listed, format!("{problems:?}"), json] {
            assert!(!text.contains("nter2"), "{text}");
        }
    }

    #[test]
    fn only_permissions_make_a_permission_exit() {
        let findings = Findings::new(Path::new("f"), "");
        let permission = || Finding::new(ProblemKind::Permission, "open to others", "chmod 600");
        findings.report(&Place::File, "", permission());
        assert_eq!(findings.finish().problems.exit_kind(), ExitKind::Permission);
        let findings = Findings::new(Path::new("f"), "");
        findings.report(&Place::File, "", permission());
        findings.report(&Place::File, "", Finding::invalid("wrong", "right it"));
        assert_eq!(
            findings.finish().problems.exit_kind(),
            ExitKind::Configuration
        );
    }
}
