//! Writing XML: elements, text, and EC2's lists of `item`.

#[derive(Debug)]
pub(super) struct Xml(String);

impl Xml {
    pub(super) fn new() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned())
    }

    /// Writes an element around what `inside` writes.
    pub(super) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.spaced_element(name, None, inside);
    }

    /// Writes an element with a namespace.
    pub(super) fn spaced_element(
        &mut self,
        name: &str,
        namespace: Option<&str>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.0.push('<');
        self.0.push_str(name);
        if let Some(namespace) = namespace {
            self.0.push_str(" xmlns=\"");
            self.0.push_str(namespace);
            self.0.push('"');
        }
        self.0.push('>');
        inside(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// Writes an element with text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.element(name, |xml| xml.escape(text));
    }

    /// Writes an element with an `item` for each value.
    pub(super) fn items<T>(
        &mut self,
        name: &str,
        of: impl IntoIterator<Item = T>,
        mut inside: impl FnMut(&mut Self, T),
    ) {
        self.element(name, |xml| {
            for one in of {
                xml.element("item", |xml| inside(xml, one));
            }
        });
    }

    /// Writes elements that are serialized already.
    pub(super) fn raw(&mut self, elements: &str) {
        self.0.push_str(elements);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn escape(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                // An XML parser normalizes a bare carriage return to a line feed.
                '\r' => self.0.push_str("&#xd;"),
                other => self.0.push(other),
            }
        }
    }
}
