//! Answers of the API's operations: a page of a list, one entity, or nothing. What each kind looks like is in `shapes`.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::Answer;
use super::api::Visit;
use super::kinds::Kind;
use super::pagination::Page;
use super::seed::{Dice, is_id};
use super::shapes::Subject;
use crate::model::catalogue::Operation;

/// How many of a kind a company has: more than a page, fewer than a test would mind.
const FEWEST: u64 = 41;
const SPREAD: u64 = 60;
/// Updates of job items in one call (pleo.md section 8).
const MOST_UPDATES: usize = 100;

/// The answer of an operation that is let in.
pub(super) fn answer(visit: &Visit<'_>) -> Answer {
    let kind = Kind::of(visit.operation);
    if visit.operation.method == Method::DELETE || only_says_done(visit) {
        return match known(visit, kind) {
            Ok(()) => Answer::empty(StatusCode::NO_CONTENT),
            Err(answer) => answer,
        };
    }
    let outcome = match visit.operation.operation_id {
        id if id.starts_with("updateExportJobItems") => updated_items(visit),
        "createAccountsBatchV1" => batch(visit, kind),
        _ if role(visit.operation, kind) == Role::List => list(visit, kind),
        _ => one(visit, kind),
    };
    match outcome {
        Ok(value) => Answer::json(success(visit), &value),
        Err(answer) => answer,
    }
}

fn only_says_done(visit: &Visit<'_>) -> bool {
    let responses = &visit.operation.responses;
    responses.contains(&StatusCode::NO_CONTENT) || visit.operation.operation_id == "bulkArchiveTags"
}

/// The success that Pleo's document lists for it, a creation before anything else.
fn success(visit: &Visit<'_>) -> StatusCode {
    let responses = &visit.operation.responses;
    let creates = visit.operation.method == Method::POST && !visit.operation.is_read();
    if creates && responses.contains(&StatusCode::CREATED) {
        return StatusCode::CREATED;
    }
    (responses.iter().copied())
        .find(StatusCode::is_success)
        .unwrap_or(StatusCode::OK)
}

/// What the answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A page of what is below the path's last parameter.
    List,
    /// A new one, below the path's last parameter.
    New,
    /// The one that the path's last parameter names.
    Named,
}

fn role(operation: &Operation, kind: Kind) -> Role {
    let last = operation.path.rsplit('/').next().unwrap_or("");
    if last.starts_with('{') || last == "core" || kind.is_single() {
        Role::Named
    } else if operation.is_read() {
        Role::List
    } else if operation.method == Method::POST {
        Role::New
    } else {
        Role::Named
    }
}

/// Ids in paths are UUIDs; every UUID but the empty one is somebody's, and a company is only known to itself.
fn known(visit: &Visit<'_>, kind: Kind) -> Result<(), Answer> {
    let own = |id: &&str| is_id(id) && (kind != Kind::Company || *id == visit.company.id);
    if visit.ids.iter().all(own) {
        return Ok(());
    }
    let code = format!("{}_NOT_FOUND", kind.name());
    Err(Answer::api_error(
        StatusCode::NOT_FOUND,
        &code,
        "there is none of that id",
    ))
}

fn list(visit: &Visit<'_>, kind: Kind) -> Result<Value, Answer> {
    known(visit, kind)?;
    let parent = visit.ids.last().copied();
    let scope = [visit.company.id.as_str(), kind.name(), parent.unwrap_or("")];
    let total = match kind {
        Kind::Company => 1,
        _ => FEWEST + Dice::new(visit.seed, &scope).below(SPREAD),
    };
    let page = Page::asked(&visit.query, usize::try_from(total).unwrap_or(0))?;
    let entities: Vec<Value> = (page.range.clone())
        .map(|place| {
            let id = match kind {
                Kind::Company => visit.company.id.clone(),
                _ => id_at(visit, &scope, place),
            };
            entity(visit, kind, id, parent)
        })
        .collect();
    Ok(json!({"data": entities, "pagination": page.shown(&visit.query)}))
}

fn id_at(visit: &Visit<'_>, scope: &[&str; 3], place: usize) -> String {
    let place = place.to_string();
    Dice::new(visit.seed, &[scope[0], scope[1], scope[2], &place]).uuid()
}

/// The entity of the path, or a new one; what the body says of it replaces what the seed says.
fn one(visit: &Visit<'_>, kind: Kind) -> Result<Value, Answer> {
    known(visit, kind)?;
    let (named, above) = match (role(visit.operation, kind), visit.ids.as_slice()) {
        (Role::Named, [.., above, named]) => (Some(*named), Some(*above)),
        (Role::Named, ids) => (ids.last().copied(), None),
        (Role::New | Role::List, ids) => (None, ids.last().copied()),
    };
    let id = named.map_or_else(|| new_id(visit, &visit.body), str::to_owned);
    let mut entity = entity(visit, kind, id, above);
    if !visit.operation.is_read() {
        overlay(&mut entity, &visit.body);
    }
    Ok(json!({"data": entity}))
}

/// The same body makes the same entity.
fn new_id(visit: &Visit<'_>, body: &Value) -> String {
    let body = body.to_string();
    Dice::new(
        visit.seed,
        &[&visit.company.id, visit.operation.path, &body],
    )
    .uuid()
}

fn entity(visit: &Visit<'_>, kind: Kind, id: String, parent: Option<&str>) -> Value {
    let subject = Subject {
        dice: Dice::new(visit.seed, &[kind.name(), &id]),
        id,
        parent,
        company: visit.company,
    };
    subject.shaped(kind)
}

fn overlay(entity: &mut Value, body: &Value) {
    if let (Some(entity), Some(body)) = (entity.as_object_mut(), body.as_object()) {
        for (name, value) in body {
            if name != "id" {
                entity.insert(name.clone(), value.clone());
            }
        }
    }
}

/// What a body that is a list, or an object around one, holds.
fn listed<'b>(body: &'b Value, names: &[&str]) -> &'b [Value] {
    let inner = names.iter().map(|name| &body[*name]);
    std::iter::once(body)
        .chain(inner)
        .find_map(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn updated_items(visit: &Visit<'_>) -> Result<Value, Answer> {
    let items = listed(&visit.body, &["data", "items", "exportJobItems"]);
    if items.len() > MOST_UPDATES {
        return Err(Answer::api_error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "EXPORT_JOB_ITEMS_UPDATE_LIMIT",
            "at most 100 items in one call",
        ));
    }
    known(visit, Kind::JobItem)?;
    Ok(json!({"data": items, "errors": []}))
}

fn batch(visit: &Visit<'_>, kind: Kind) -> Result<Value, Answer> {
    let bodies = listed(&visit.body, &["accounts", "data"]);
    if !(1..=1000).contains(&bodies.len()) {
        let problem = "a batch has 1 to 1000 accounts";
        return Err(Answer::api_error(
            StatusCode::BAD_REQUEST,
            "VALIDATION_FAILED",
            problem,
        ));
    }
    let made: Vec<Value> = (bodies.iter())
        .map(|body| {
            let mut entity = entity(visit, kind, new_id(visit, body), None);
            overlay(&mut entity, body);
            entity
        })
        .collect();
    Ok(json!({"data": made}))
}
