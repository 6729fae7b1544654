//! Pleo's operations and the scopes they need: `config/pleo/operations.csv`, read once. Matching requests against them is
//! not here (`model::route_table` for the gateway, `sandbox::routes` for the stand-in).

use std::sync::LazyLock;

use http::{Method, StatusCode};

use super::scope::ScopeSet;

const TABLE: &str = include_str!("../../config/pleo/operations.csv");
const HEADER: &str = "api,version,method,path,operation_id,scopes,basis,company,responses,flags";

/// How sure we are of an operation's scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Pleo's own scope pages name the scope for this operation.
    Documented,
    /// Pleo names it for the whole family.
    Derived,
    /// Others who integrate with Pleo use it.
    ThirdParty,
    /// Our guess, from neighbouring operations.
    Inferred,
    /// No scope is known.
    Unknown,
}

impl Basis {
    /// True if Pleo itself says so: only then a scope missing from the grant is enforced (contract.md section 2).
    pub fn is_documented(self) -> bool {
        matches!(self, Self::Documented)
    }
}

/// What is particular about an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks of one row, not states"
)]
pub struct Flags {
    /// Pleo advises against new use.
    pub deprecated: bool,
    /// Early access at Pleo.
    pub beta: bool,
    /// In Pleo's documents, but not on its pages.
    pub hidden: bool,
    /// A POST that changes nothing.
    pub reads_by_post: bool,
    /// Sending it twice does it twice.
    pub not_retry_safe: bool,
    /// The answer holds a signing secret.
    pub returns_secret: bool,
    /// Ends the authorisation: every token of the connection dies.
    pub revokes_tokens: bool,
    /// Reads or changes where a tenant's events are sent.
    pub redirects_events: bool,
    /// The answer holds links that work without a credential.
    pub returns_presigned_url: bool,
    /// The query string names people or cards.
    pub personal_data_in_query: bool,
    /// Acts on many entities in one call.
    pub bulk: bool,
    /// Bodies of many megabytes are normal.
    pub large_body: bool,
    /// The company has to be named.
    pub company_required: bool,
}

/// One operation of Pleo's API.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The family, as catalogue names write it: `export`.
    pub api: &'static str,
    /// The version, as the path writes it: `v3`, `v1-beta`.
    pub version: &'static str,
    /// The method.
    pub method: Method,
    /// The path template: `/v1/vendors/{id}:archive`.
    pub path: &'static str,
    /// Pleo's name for it; unique, fit for a route's name.
    pub operation_id: &'static str,
    /// All are required; empty if none is known.
    pub scopes: ScopeSet,
    /// How sure we are of `scopes`.
    pub basis: Basis,
    /// Where a request names the company: `query:company_id`, `body:companyId`, `path:companyId`, alternatives separated
    /// by `|`; `token` or empty if only the credential decides; `job:…` if the export job named there does.
    pub company_selector: &'static str,
    /// The statuses that Pleo's document lists; empty if it lists none.
    pub responses: Vec<StatusCode>,
    /// What is particular about it.
    pub flags: Flags,
}

impl Operation {
    /// True for operations that revoke tokens, return a secret or redirect events: only an explicit route opens them.
    pub fn is_dangerous(&self) -> bool {
        self.flags.revokes_tokens || self.flags.returns_secret || self.flags.redirects_events
    }

    /// True if it only reads: GET, and the searches that Pleo does by POST.
    pub fn is_read(&self) -> bool {
        self.method == Method::GET || self.flags.reads_by_post
    }
}

/// What a catalogue name stands for.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The operations it imports, in the table's order; empty if all are left out.
    pub operations: Vec<&'static Operation>,
    /// Those it names but leaves out: dangerous ones, and under a wildcard those without a known scope.
    pub left_out: Vec<&'static Operation>,
}

/// No family and version of that name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue has no {pattern:?}")]
pub struct UnknownName {
    /// What was asked for.
    pub pattern: String,
    /// Every name there is, for a hint.
    pub known: Vec<String>,
}

/// Pleo's operations.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// In the table's order: by family and version.
    pub operations: Vec<Operation>,
}

/// The catalogue that is compiled in.
pub fn builtin() -> &'static Catalogue {
    static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
        #[expect(clippy::expect_used, reason = "a test reads the same embedded table")]
        Catalogue::parse(TABLE).expect("the embedded catalogue is sound")
    });
    &BUILTIN
}

/// A line of the table that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("operations.csv, line {line}: {problem}")]
struct BadLine {
    line: usize,
    problem: &'static str,
}

impl Catalogue {
    /// The operations that `export/v3`, `tags/*` or `*` names.
    pub fn named(&'static self, pattern: &str) -> Result<Selection, UnknownName> {
        let exact = !pattern.contains('*');
        let (operations, left_out): (Vec<_>, Vec<_>) = (self.operations.iter())
            .filter(|operation| matches_name(pattern, operation))
            .partition(|operation| {
                !operation.is_dangerous() && (exact || !operation.scopes.is_empty())
            });
        if operations.is_empty() && left_out.is_empty() {
            return Err(UnknownName {
                pattern: pattern.to_owned(),
                known: self.names(),
            });
        }
        Ok(Selection {
            operations,
            left_out,
        })
    }

    /// Every name that [`Catalogue::named`] knows.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec!["*".to_owned()];
        for operation in &self.operations {
            names.push(format!("{}/*", operation.api));
            names.push(format!("{}/{}", operation.api, operation.version));
        }
        names.sort();
        names.dedup();
        names
    }

    /// The operation of that name.
    pub fn operation(&self, operation_id: &str) -> Option<&Operation> {
        (self.operations.iter()).find(|operation| operation.operation_id == operation_id)
    }

    fn parse(table: &'static str) -> Result<Self, BadLine> {
        let mut lines = table.lines();
        if lines.next() != Some(HEADER) {
            let problem = "the columns are not the known ones";
            return Err(BadLine { line: 1, problem });
        }
        let operations = lines
            .zip(2..)
            .map(|(text, line)| operation(text).map_err(|problem| BadLine { line, problem }))
            .collect::<Result<_, _>>()?;
        Ok(Self { operations })
    }
}

fn matches_name(pattern: &str, operation: &Operation) -> bool {
    match pattern.split_once('/') {
        Some((api, version)) => {
            api == operation.api && (version == "*" || version == operation.version)
        }
        None => pattern == "*",
    }
}

/// Reads one line. The table has no quoted fields: our data, kept simple.
fn operation(line: &'static str) -> Result<Operation, &'static str> {
    let columns: Vec<&'static str> = line.split(',').collect();
    let [
        api,
        version,
        method,
        path,
        operation_id,
        scopes,
        basis,
        company,
        responses,
        flags,
    ] = <[&'static str; 10]>::try_from(columns).map_err(|_| "ten columns are needed")?;
    Ok(Operation {
        api,
        version,
        method: method.parse().map_err(|_| "no method")?,
        path: Some(path)
            .filter(|path| path.starts_with('/'))
            .ok_or("no path")?,
        operation_id,
        scopes: ScopeSet::parse(scopes).map_err(|_| "not a scope")?,
        basis: basis_of(basis)?,
        company_selector: company,
        responses: (responses.split_ascii_whitespace())
            .map(|status| status.parse().map_err(|_| "not a status"))
            .collect::<Result<_, _>>()?,
        flags: flags_of(flags)?,
    })
}

fn basis_of(word: &str) -> Result<Basis, &'static str> {
    Ok(match word {
        "documented" => Basis::Documented,
        "derived" => Basis::Derived,
        "third-party" => Basis::ThirdParty,
        "inferred" => Basis::Inferred,
        "unknown" => Basis::Unknown,
        _ => return Err("not a basis"),
    })
}

fn flags_of(words: &str) -> Result<Flags, &'static str> {
    let mut flags = Flags::default();
    for word in words.split_ascii_whitespace() {
        let flag = match word {
            "deprecated" => &mut flags.deprecated,
            "beta" => &mut flags.beta,
            "hidden" => &mut flags.hidden,
            "reads-by-post" => &mut flags.reads_by_post,
            "not-retry-safe" => &mut flags.not_retry_safe,
            "returns-secret" => &mut flags.returns_secret,
            "revokes-tokens" => &mut flags.revokes_tokens,
            "redirects-events" => &mut flags.redirects_events,
            "returns-presigned-url" => &mut flags.returns_presigned_url,
            "personal-data-in-query" => &mut flags.personal_data_in_query,
            "bulk" => &mut flags.bulk,
            "large-body" => &mut flags.large_body,
            "company-required" => &mut flags.company_required,
            _ => return Err("not a flag"),
        };
        *flag = true;
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn names(selection: &Selection) -> Vec<&str> {
        (selection.operations.iter())
            .map(|operation| operation.operation_id)
            .collect()
    }

    #[test]
    fn the_table_holds_every_operation_once() {
        let catalogue = Catalogue::parse(TABLE).unwrap();
        assert_eq!(catalogue.operations.len(), 114);
        let ids: HashSet<_> = catalogue
            .operations
            .iter()
            .map(|o| o.operation_id)
            .collect();
        let shapes: HashSet<_> = catalogue
            .operations
            .iter()
            .map(|o| (&o.method, o.path))
            .collect();
        assert_eq!((ids.len(), shapes.len()), (114, 114));
    }

    #[test]
    fn an_operation_has_a_scope_unless_its_basis_is_unknown() {
        for operation in &builtin().operations {
            let unknown = operation.basis == Basis::Unknown;
            assert_eq!(
                operation.scopes.is_empty(),
                unknown,
                "{}",
                operation.operation_id
            );
        }
    }

    #[test]
    fn every_path_begins_with_its_version() {
        for operation in &builtin().operations {
            let first = operation.path.split('/').nth(1);
            assert_eq!(first, Some(operation.version), "{}", operation.path);
        }
    }

    #[test]
    fn dangerous_operations_are_imported_by_no_name() {
        for name in builtin().names() {
            let imported = builtin().named(&name).unwrap().operations;
            assert!(!imported.iter().any(|o| o.is_dangerous()), "{name}");
        }
        let webhooks = builtin().named("webhook-subscriptions/v1").unwrap();
        assert!(webhooks.operations.is_empty() && !webhooks.left_out.is_empty());
    }

    #[test]
    fn operations_without_a_known_scope_need_the_exact_family() {
        let exact = builtin().named("installations/v1").unwrap();
        assert!(names(&exact).contains(&"getClientInstallation"));
        assert!(!names(&exact).contains(&"deleteClientInstallation"));
        assert_eq!(exact.left_out.len(), 1);
        let any = builtin().named("installations/*").unwrap();
        assert!(any.operations.is_empty(), "nothing is left");
        let all = builtin().named("*").unwrap();
        assert!(all.operations.iter().all(|o| !o.scopes.is_empty()));
        assert_eq!(all.operations.len() + all.left_out.len(), 114);
    }

    #[test]
    fn a_version_and_a_family_are_told_apart() {
        assert!(
            builtin()
                .named("export/v3")
                .unwrap()
                .operations
                .iter()
                .all(|o| o.version == "v3")
        );
        let versions: HashSet<_> = (builtin().named("export/*").unwrap().operations.iter())
            .map(|operation| operation.version)
            .collect();
        assert_eq!(versions, HashSet::from(["v0", "v1", "v2", "v3"]));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        for pattern in ["exports/v3", "export", "export/v9", "", "*/v3"] {
            let UnknownName { known, .. } = builtin().named(pattern).unwrap_err();
            assert!(known.contains(&"export/v3".to_owned()));
        }
    }
}
