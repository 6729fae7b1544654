//! Broken files as a person sees them: every case of `broken.txt`, and files with several mistakes, rendered and kept in
//! `broken.rendered.txt`. Below each it says whether an editor with the schema would have noticed too. To renew it see
//! `renewal`; then read the difference as an operator would.

use std::fmt::Write as _;

use super::broken::{Case, cases};
use super::renewal::assert_current;
use super::schemas::{accepts, is_of_shape};

/// Several mistakes in one file, and files that are broken as a whole: the text in full, and variables.
const WHOLE: [(&str, &[(&str, &str)]); 8] = [
    ("", &[]),
    ("version = 2\n", &[]),
    ("version = 1\n[[listen]]\naddress = \"0.0.0.0:8080\"\n", &[]),
    (
        "version = 1\n[[listen]]\naddress = \"0.0.0.0:8080\"\n[[callers]]\nname = \"a\"\nunix_uid = [1]\ntenants = [\"t\"]\n",
        &[],
    ),
    (
        "version = 1\n[pleo]\nenvironment = \"production\"\n[[listen]]\naddress = \"127.0.0.1:1\"\n",
        &[],
    ),
    (
        "version = 1\n[pleo]\nenvironment = \"custom\"\ntoken_url = \"http://pleo.example/token\"\n[[listen]]\naddress = \"127.0.0.1:1\"\n",
        &[],
    ),
    (
        "version = 1\nx = 1\n[limits]\nidle_timeout = \"x\"\nmax_headers = true\n[log]\nformat = \"xml\"\n",
        &[("PLEO_GATEWAY_LOG__ACCES", "true")],
    ),
    (
        "version = 1\n[store]\nsqlite = \"a\"\npostgres = { env = \"DB\" }\n[[listen]]\naddress = \"127.0.0.1:1\"\n",
        &[("DB", "postgres://u:canary@h/d")],
    ),
];

#[test]
fn what_a_person_sees_of_a_broken_file_is_as_it_was_read_last() {
    let mut text = String::new();
    let mut count = 0;
    let whole = WHOLE.map(|(text, vars)| Case::whole(text, vars));
    for case in cases().into_iter().chain(whole) {
        let problems = case.read().unwrap_err();
        let shown = case.hide_folder(&problems.render(false));
        assert!(!shown.contains("canary"), "{shown}");
        let schema = match accepts(&case.text()) {
            None => "no TOML",
            Some(true) => "accepted",
            Some(false) => "refused",
        };
        // What a variable holds is not in the file.
        let of_file = problems.iter().any(|problem| problem.variable.is_none());
        assert!(
            schema != "accepted" || !of_file || !is_of_shape(&problems),
            "only the reading refuses:\n{shown}"
        );
        let _ = write!(
            text,
            "{}\n--- an editor's schema: {schema}\n{shown}\n\n\n",
            case.title()
        );
        count += 1;
    }
    assert!(count > 100, "{count}");
    assert_current("src/config/tests/broken.rendered.txt", &text);
}
