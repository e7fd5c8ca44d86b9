//! `/v1/models`: which models and adapters an endpoint serves, and the union over several endpoints.
//!
//! Read when endpoints are looked at, written when a client lists the models. Entries are kept as the endpoint
//! wrote them. Members that we do not know are passed over; an entry without an `id` is left out.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use roadstead_core::ModelCard;

use crate::json::{self, BodyError, Cursor};

/// Entries that are read from one endpoint, and written in a union; what comes after is left out.
pub const MODELS_MAX: usize = 4096;

/// The models that `page` lists, in its order, at most [`MODELS_MAX`]. A page that is no JSON object is an
/// error; one without `data` lists nothing.
pub fn parse_models(page: &[u8]) -> Result<Vec<ModelCard>, BodyError> {
    let mut cards = Vec::new();
    entries(page, |entry| {
        if cards.len() < MODELS_MAX
            && let Some(card) = card(entry)
        {
            cards.push(card);
        }
    })?;
    Ok(cards)
}

/// One list of all models on `pages`. Of entries with the same id the first one stands; pages that are no
/// JSON objects are left out.
pub fn union_models<'a>(pages: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut list = br#"{"object":"list","data":["#.to_vec();
    let mut seen = HashSet::new();
    for page in pages {
        let _whatever_was_read_counts = entries(page, |entry| {
            let Some(card) = card(entry) else { return };
            if seen.len() < MODELS_MAX && seen.insert(card.id) {
                if seen.len() > 1 {
                    list.push(b',');
                }
                list.extend_from_slice(entry);
            }
        });
    }
    list.extend_from_slice(b"]}");
    list.into()
}

/// Calls `each` with the raw entries of `data`.
fn entries<'a>(page: &'a [u8], mut each: impl FnMut(&'a [u8])) -> Result<(), BodyError> {
    let mut data: Option<Range<usize>> = None;
    let mut cursor = Cursor::new(page);
    cursor.members(|key, value| {
        if *key == *b"data" {
            data = Some(value);
        }
    })?;
    cursor.end()?;
    if let Some(data) = data.map(|range| &page[range]).filter(|raw| raw.starts_with(b"[")) {
        Cursor::new(data).elements(|entry| each(&data[entry]))?;
    }
    Ok(())
}

fn card(entry: &[u8]) -> Option<ModelCard> {
    // Entries are written back into a JSON answer, so they must be text.
    std::str::from_utf8(entry).ok()?;
    let mut id = None;
    let mut parent = None;
    let walked = Cursor::new(entry).members(|key, value| match &*key {
        b"id" => id = json::text(&entry[value]),
        b"parent" => parent = json::text(&entry[value]),
        _ => {}
    });
    walked.ok()?;
    Some(ModelCard { id: Arc::from(&*id?), parent: parent.map(|parent| Arc::from(&*parent)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &[u8] = include_bytes!("../tests/fixtures/models.json");

    fn ids(page: &[u8]) -> Vec<(String, Option<String>)> {
        let cards = parse_models(page).unwrap();
        cards.iter().map(|card| (card.id.to_string(), card.parent.as_ref().map(|p| p.to_string()))).collect()
    }

    #[test]
    fn reads_a_real_page() {
        assert_eq!(ids(PAGE), [("tiny".to_owned(), None), ("sql-lora".to_owned(), Some("tiny".to_owned()))]);
    }

    #[test]
    fn tolerates_other_shapes() {
        let page =
            br#"{"data":[{"id":"a"},{"id":1},[],"x",{"parent":"a"},{"id":"b\u00e9","parent":3}],"x":{}}"#;
        assert_eq!(ids(page), [("a".to_owned(), None), ("b\u{e9}".to_owned(), None)]);
        assert_eq!(ids(b"{}"), []);
        assert_eq!(ids(br#"{"data":{"id":"a"}}"#), []);
        for broken in ["", "[]", "{", "<html>", "{\"data\":[}"] {
            assert!(parse_models(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_union_keeps_each_entry_as_first_written() {
        let other = br#"{"data":[{"id":"sql-lora","mine":1},{ "id" : "math" }]}"#;
        let union = union_models([PAGE, b"broken", other]);
        let value: serde_json::Value = serde_json::from_slice(&union).unwrap();
        let first: serde_json::Value = serde_json::from_slice(PAGE).unwrap();
        assert_eq!(value["object"], "list");
        assert_eq!(value["data"][0], first["data"][0]);
        assert_eq!(value["data"][1], first["data"][1]);
        assert_eq!(value["data"][2]["id"], "math");
        assert_eq!(value["data"].as_array().unwrap().len(), 3);
        assert!(union.ends_with(br#",{ "id" : "math" }]}"#));
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let entries: Vec<_> = (0..MODELS_MAX + 10).map(|n| format!("{{\"id\":\"m{n}\"}}")).collect();
        let page = format!("{{\"data\":[{}]}}", entries.join(","));
        assert_eq!(parse_models(page.as_bytes()).unwrap().len(), MODELS_MAX);
        assert_eq!(parse_models(&union_models([page.as_bytes()])).unwrap().len(), MODELS_MAX);
    }
}
