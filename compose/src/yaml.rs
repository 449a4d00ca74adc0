//! The little YAML that a compose file needs: maps, lists and quoted text.

/// A piece of a document.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Always written in double quotes, so that no reader takes `on`, `1e3` or `22:22` for something else.
    Text(String),
    Flag(bool),
    List(Vec<Node>),
    /// In the order given.
    Map(Vec<(String, Node)>),
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A list of texts.
pub(crate) fn list<T: Into<Node>>(items: impl IntoIterator<Item = T>) -> Node {
    Node::List(items.into_iter().map(Into::into).collect())
}

/// A map in the order given.
pub(crate) fn map<K: Into<String>, V: Into<Node>>(pairs: impl IntoIterator<Item = (K, V)>) -> Node {
    Node::Map(
        pairs
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect(),
    )
}

/// The document as text.
pub(crate) fn write(node: &Node) -> String {
    let mut out = String::new();
    block(node, 0, &mut out);
    out
}

fn block(node: &Node, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match node {
        Node::Text(_) | Node::Flag(_) => out.push_str(&format!("{indent}{}\n", flow(node))),
        Node::List(items) => {
            for item in items {
                out.push_str(&format!("{indent}- {}\n", flow(item)));
            }
        }
        Node::Map(pairs) => {
            for (key, value) in pairs {
                let empty = matches!(value, Node::List(items) if items.is_empty())
                    || matches!(value, Node::Map(pairs) if pairs.is_empty());
                if empty || matches!(value, Node::Text(_) | Node::Flag(_)) {
                    out.push_str(&format!("{indent}{key}: {}\n", flow(value)));
                } else {
                    out.push_str(&format!("{indent}{key}:\n"));
                    block(value, depth + 1, out);
                }
            }
        }
    }
}

fn flow(node: &Node) -> String {
    match node {
        Node::Text(text) => quoted(text),
        Node::Flag(flag) => flag.to_string(),
        Node::List(items) => format!(
            "[{}]",
            items.iter().map(flow).collect::<Vec<_>>().join(", ")
        ),
        Node::Map(pairs) => {
            let inner: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{key}: {}", flow(value)))
                .collect();
            format!("{{{}}}", inner.join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    // A JSON string is a YAML string; Compose itself takes $ for a variable.
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}
