//! `/metrics` in the text of vLLM 0.32: names, order, labels, help and number format of the captured pages.
//!
//! The families are described once, by [`describe`]. The first run lays the page out: all text, with a cut
//! where each value goes. Every later run only collects the values, and a page is the text with the values in
//! its cuts; a scrape of 600 lines costs some ten microseconds.
//!
//! Serves every `vllm:` family that a server without multi-modal input, KV transfer or speculation serves. The
//! `python_`, `process_` and `http_` families are left out: there is no Python process to speak of.

mod families;
mod number;

pub(crate) use families::{Reading, describe};

/// Set by the engine's position in a data-parallel group; there is one.
const ENGINE: &str = "0";

/// A label's value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label<'a> {
    /// As it is.
    Text(&'a str),
    /// A bucket's upper bound.
    Bound(f64),
}

/// Takes what [`describe`] says, family by family and line by line.
pub(crate) trait Sink {
    /// A family begins.
    fn family(&mut self, name: &str, help: &str, kind: &str);
    /// A line whose value changes.
    fn line(&mut self, name: &str, labels: &[(&str, Label<'_>)], value: f64);
    /// A line whose value never changes.
    fn fixed(&mut self, name: &str, labels: &[(&str, Label<'_>)], value: f64);
    /// The place of the series that come and go with the adapters in use.
    fn adapters(&mut self);
}

/// What goes into a cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Value,
    Adapters,
}

/// The page of one server, laid out.
#[derive(Debug)]
pub(crate) struct Page {
    text: Vec<u8>,
    /// Where in `text`, and what.
    cuts: Vec<(usize, Cut)>,
    values: Vec<f64>,
}

impl Page {
    /// Lays the page out for `model`. `reading` gives the shape; its values do not matter.
    pub(crate) fn new(model: &str, reading: &Reading<'_>) -> Page {
        let mut layout = Layout { model: escape_label(model), text: Vec::new(), cuts: Vec::new() };
        describe(&mut layout, reading);
        Page { text: layout.text, cuts: layout.cuts, values: Vec::new() }
    }

    /// The page with the values of `reading`, and `adapters` as finished lines.
    pub(crate) fn render(&mut self, reading: &Reading<'_>, adapters: &[u8]) -> Vec<u8> {
        let mut values = Values(std::mem::take(&mut self.values));
        values.0.clear();
        describe(&mut values, reading);
        let mut out = Vec::with_capacity(self.text.len() + self.cuts.len() * 8 + adapters.len());
        let mut from = 0;
        let mut next = values.0.iter();
        for (at, cut) in &self.cuts {
            out.extend_from_slice(&self.text[from..*at]);
            from = *at;
            match cut {
                Cut::Value => number::write(&mut out, next.next().copied().unwrap_or(f64::NAN)),
                Cut::Adapters => out.extend_from_slice(adapters),
            }
        }
        out.extend_from_slice(&self.text[from..]);
        self.values = values.0;
        out
    }
}

/// Appends one line of `vllm:lora_requests_info`.
pub(crate) fn write_adapters_line(out: &mut Vec<u8>, max_loras: u32, names: &str, unix_s: f64) {
    let names = escape_label(names);
    let labels = format!(
        "vllm:lora_requests_info{{max_lora=\"{max_loras}\",running_lora_adapters=\"{names}\",waiting_lora_adapters=\"{names}\"}} "
    );
    out.extend_from_slice(labels.as_bytes());
    number::write(out, unix_s);
    out.push(b'\n');
}

struct Layout {
    model: String,
    text: Vec<u8>,
    cuts: Vec<(usize, Cut)>,
}

impl Layout {
    fn labels(&mut self, name: &str, labels: &[(&str, Label<'_>)]) {
        let mut all: Vec<(&str, String)> = labels
            .iter()
            .map(|(name, value)| match value {
                Label::Text(text) => (*name, escape_label(text)),
                Label::Bound(bound) => {
                    let mut text = Vec::new();
                    number::write(&mut text, *bound);
                    (*name, String::from_utf8_lossy(&text).into_owned())
                }
            })
            .collect();
        // Admission is judged before an engine is chosen, and the adapters' series belong to the process.
        if name.starts_with("vllm:admission_rejections") {
            all.push(("model_name", self.model.clone()));
        } else if name == families::CACHE_CONFIG {
            all.push(("engine", ENGINE.to_owned()));
        } else {
            all.push(("engine", ENGINE.to_owned()));
            all.push(("model_name", self.model.clone()));
        }
        all.sort_unstable();
        self.text.extend_from_slice(name.as_bytes());
        for (at, (name, value)) in all.iter().enumerate() {
            self.text.push(if at == 0 { b'{' } else { b',' });
            self.text.extend_from_slice(format!("{name}=\"{value}\"").as_bytes());
        }
        self.text.extend_from_slice(b"} ");
    }
}

impl Sink for Layout {
    fn family(&mut self, name: &str, help: &str, kind: &str) {
        self.text.extend_from_slice(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n").as_bytes());
    }

    fn line(&mut self, name: &str, labels: &[(&str, Label<'_>)], _value: f64) {
        self.labels(name, labels);
        self.cuts.push((self.text.len(), Cut::Value));
        self.text.push(b'\n');
    }

    fn fixed(&mut self, name: &str, labels: &[(&str, Label<'_>)], value: f64) {
        self.labels(name, labels);
        number::write(&mut self.text, value);
        self.text.push(b'\n');
    }

    fn adapters(&mut self) {
        self.cuts.push((self.text.len(), Cut::Adapters));
    }
}

struct Values(Vec<f64>);

impl Sink for Values {
    fn family(&mut self, _name: &str, _help: &str, _kind: &str) {}

    fn line(&mut self, _name: &str, _labels: &[(&str, Label<'_>)], value: f64) {
        self.0.push(value);
    }

    fn fixed(&mut self, _name: &str, _labels: &[(&str, Label<'_>)], _value: f64) {}

    fn adapters(&mut self) {}
}

fn escape_label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}
