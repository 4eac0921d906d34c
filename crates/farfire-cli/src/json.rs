//! JSON records: an object a line, put together by hand.

use std::fmt::Write;

/// One object being written.
pub(crate) struct Record(String);

impl Record {
    /// Begins an object that says what it is.
    pub(crate) fn new(kind: &str) -> Self {
        Self("{".into()).text("record", kind)
    }

    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        self.key(name);
        quote(&mut self.0, value);
        self
    }

    pub(crate) fn texts(mut self, name: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.key(name);
        self.0.push('[');
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.0.push(',');
            }
            quote(&mut self.0, &value);
        }
        self.0.push(']');
        self
    }

    /// A finite number, or a bool.
    pub(crate) fn plain(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.key(name);
        let _ = write!(self.0, "{value}");
        self
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn key(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        quote(&mut self.0, name);
        self.0.push(':');
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_reads_back_as_it_was() {
        let text = "a \"b\" \\ \n \u{1b} é";
        let record = Record::new("line").text("text", text).plain("pid", 7);
        let read: serde_json::Value = serde_json::from_str(&record.finish()).unwrap();
        assert_eq!(read["text"], text);
        assert_eq!(read["pid"], 7);
    }
}
