//! A problem as a compiler would show it: its line, a mark under the text, and the remedy. What is wrong is not here
//! (`report`).

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::report::{Problem, ProblemKind};

/// Lines that are longer, in characters, and places of more lines are shown in part.
const LONGEST: usize = 120;
const MOST_LINES: usize = 10;
/// What is shown of a longer line: as much before the mark, marked, and behind it.
const PART: usize = 35;

/// Shows one problem of this source.
pub(super) fn render(renderer: &Renderer, source: &str, problem: &Problem) -> String {
    let level = match problem.kind {
        ProblemKind::Warning => Level::WARNING,
        _ => Level::ERROR,
    };
    let title = if problem.key.is_empty() {
        problem.message.clone()
    } else {
        format!("{}: {}", problem.key, problem.message)
    };
    let path = problem.file.display().to_string();
    let mut group = Group::with_title(level.primary_title(title));
    // What the renderer calls the place, and what it is.
    let mut places = None;
    if let Some(variable) = &problem.variable {
        group = group.element(Level::NOTE.message(format!("set by the variable {variable}")));
    } else if let (Some(line), Some(column)) = (problem.line, problem.column) {
        let (text, span) = excerpt(source, &problem.span);
        let counted = text[..span.start].chars().count() + 1;
        places = Some([counted, column].map(|column| format!("{path}:{line}:{column}\n")));
        let snippet = Snippet::source(text).line_start(line).path(path);
        group = group.element(snippet.annotation(AnnotationKind::Primary.span(span)));
    } else {
        group = group.element(Level::NOTE.message(format!("in {path}")));
    }
    group = group.element(Level::HELP.message(&problem.remedy));
    let shown = renderer.render(&[group]);
    match places {
        Some([counted, place]) if counted != place => shown.replacen(&counted, &place, 1),
        _ => shown,
    }
}

/// The lines of a place and where it is in them, so that nobody reads the whole file for each problem. Of what is long or
/// many the part around the place's beginning, with an ellipsis where something is left out.
fn excerpt<'a>(source: &'a str, span: &Range<usize>) -> (Cow<'a, str>, Range<usize>) {
    let begin = source[..span.start].rfind('\n').map_or(0, |n| n + 1);
    let rest = &source[span.end..];
    let end = rest.find('\n').map_or(rest.len(), |n| n + 1);
    let lines = &source[begin..span.end + end];
    let is_short = |line: &str| line.chars().nth(LONGEST).is_none();
    if lines.lines().nth(MOST_LINES).is_none() && lines.lines().all(is_short) {
        return (lines.into(), span.start - begin..span.end - begin);
    }
    let first = lines.lines().next().unwrap_or_default();
    let (before, marked) = first.split_at((span.start - begin).min(first.len()));
    let (marked, after) = marked.split_at((span.end - span.start).min(marked.len()));
    let mut text = String::new();
    let kept = before.char_indices().rev().take(PART).last();
    let kept = kept.map_or(before.len(), |(place, _)| place);
    if kept > 0 {
        text.push('…');
    }
    text.push_str(&before[kept..]);
    let from = text.len();
    push_head(&mut text, marked);
    let to = text.len();
    if marked.len() == to - from {
        push_head(&mut text, after);
    }
    (text.into(), from..to)
}

/// Adds the beginning of a text, with an ellipsis if it goes on.
fn push_head(text: &mut String, added: &str) {
    match added.char_indices().nth(PART) {
        Some((end, _)) => {
            text.push_str(&added[..end]);
            text.push('…');
        }
        None => text.push_str(added),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &str, marked: &str, after: &str) -> (String, String) {
        let source = format!("first line\n{before}{marked}{after}\nlast line\n");
        let start = "first line\n".len() + before.len();
        let (text, span) = excerpt(&source, &(start..start + marked.len()));
        (text[span].to_owned(), text.into_owned())
    }

    #[test]
    fn a_line_that_fits_is_shown_in_full() {
        let (marked, text) = shown("key = ", "\"é\"", " # remark");
        assert_eq!(
            (marked.as_str(), text.as_str()),
            ("\"é\"", "key = \"é\" # remark\n")
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_mark() {
        let long = "é".repeat(200);
        let (marked, text) = shown(&long, "MARK", &long);
        let side = "é".repeat(PART);
        assert_eq!(
            (marked, text),
            ("MARK".to_owned(), format!("…{side}MARK{side}…"))
        );
        let (marked, text) = shown("", "MARK", &long);
        assert_eq!((marked, text), ("MARK".to_owned(), format!("MARK{side}…")));
        let (marked, text) = shown("k = ", &long, "x");
        assert_eq!(
            (marked.as_str(), text),
            (&*format!("{side}…"), format!("k = {side}…"))
        );
    }

    #[test]
    fn a_place_of_many_lines_is_shown_by_its_first() {
        let (marked, text) = shown("k = ", &"[\n".repeat(100), "]");
        assert_eq!((marked.as_str(), text.as_str()), ("[", "k = ["));
        let (marked, text) = shown("k = ", "[\n1,\n]", "");
        assert_eq!(
            (marked.as_str(), text.as_str()),
            ("[\n1,\n]", "k = [\n1,\n]\n")
        );
    }
}
