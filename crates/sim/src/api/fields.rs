//! Request fields that come in several shapes: prompts, message contents, inputs.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::text;

/// `prompt` and `input`: a text, texts, token ids, or lists of token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prompts {
    /// Each as the bytes of its tokens.
    pub(crate) list: Vec<Vec<u8>>,
    /// Whether they came as token ids.
    pub(crate) ids: bool,
}

impl Prompts {
    /// One text.
    pub(crate) fn text(prompt: Vec<u8>) -> Prompts {
        Prompts { list: vec![prompt], ids: false }
    }
}

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Prompts, D::Error> {
        deserializer.deserialize_any(PromptsVisitor)
    }
}

struct PromptsVisitor;

impl<'de> Visitor<'de> for PromptsVisitor {
    type Value = Prompts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, strings, token ids or lists of token ids")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Prompts, E> {
        Ok(Prompts::text(value.as_bytes().to_vec()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Prompts, E> {
        Ok(Prompts::text(value.into_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Prompts, A::Error> {
        let mut prompts = Vec::new();
        let mut ids = Vec::new();
        let mut lists_of_ids = false;
        while let Some(item) = items.next_element::<Item>()? {
            match item {
                Item::Text(text) => prompts.push(text),
                Item::Ids(ids) => {
                    lists_of_ids = true;
                    prompts.push(text::detokenize(&ids));
                }
                Item::Id(id) => ids.push(id),
            }
        }
        match (prompts.is_empty(), ids.is_empty()) {
            (true, false) => Ok(Prompts { list: vec![text::detokenize(&ids)], ids: true }),
            (_, true) => Ok(Prompts { list: prompts, ids: lists_of_ids }),
            (false, false) => Err(A::Error::custom("token ids beside other prompts")),
        }
    }
}

/// One element of a prompt list.
enum Item {
    Text(Vec<u8>),
    Ids(Vec<u32>),
    Id(u32),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a token id or token ids")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Item, E> {
        Ok(Item::Text(value.as_bytes().to_vec()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Item, E> {
        u32::try_from(value).map(Item::Id).map_err(|_| E::custom("token id out of range"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item, A::Error> {
        let mut ids = Vec::new();
        while let Some(id) = items.next_element::<u32>()? {
            ids.push(id);
        }
        Ok(Item::Ids(ids))
    }
}

/// The content of a message: a text, or parts. Parts without text (images, sound) count as their type's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content(pub(crate) String);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or content parts")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Content, E> {
        Ok(Content(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Content, E> {
        Ok(Content(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
        let mut whole = String::new();
        while let Some(Part(part)) = parts.next_element()? {
            if !whole.is_empty() {
                whole.push('\n');
            }
            whole.push_str(&part);
        }
        Ok(Content(whole))
    }
}

struct Part(String);

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Part, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a content part")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Part, E> {
        Ok(Part(value.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Part, A::Error> {
        let (mut kind, mut text) = (None, None);
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "type" => kind = Some(fields.next_value::<String>()?),
                "text" => text = Some(fields.next_value::<String>()?),
                _ => drop(fields.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        Ok(Part(text.or(kind.map(|kind| format!("<|{kind}|>"))).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(json: &str) -> Option<Vec<Vec<u8>>> {
        serde_json::from_str::<Prompts>(json).ok().map(|prompts| prompts.list)
    }

    #[test]
    fn prompts_come_as_text_texts_ids_and_lists_of_ids() {
        assert_eq!(prompts(r#""ab""#), Some(vec![b"ab".to_vec()]));
        assert_eq!(prompts(r#"["ab","c"]"#), Some(vec![b"ab".to_vec(), b"c".to_vec()]));
        assert_eq!(prompts("[1,2]").unwrap()[0].len(), 8);
        assert_eq!(prompts("[[1],[2,3]]").unwrap()[1].len(), 8);
        assert_eq!(prompts("[]"), Some(vec![]));
        assert_eq!(prompts(r#"[1,"a"]"#), None);
        assert_eq!(prompts("5"), None);
    }

    #[test]
    fn contents_come_as_text_or_parts() {
        let parts = r#"[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"x"}}]"#;
        for (json, expected) in [(r#""hi""#, "hi"), (parts, "hi\n<|image_url|>"), ("null", "")] {
            assert_eq!(serde_json::from_str::<Content>(json).unwrap().0, expected);
        }
    }
}
