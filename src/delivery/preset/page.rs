//! What an operator reads of a preset: an endpoint to paste, and the page in `deploy/receivers/`.

use super::Preset;

impl Preset {
    /// What it is, in a sentence.
    #[must_use]
    pub fn about(self) -> &'static str {
        self.0.about
    }

    /// An endpoint of it, as an item of the list `endpoints`, indented by two spaces.
    #[must_use]
    pub fn example(self) -> String {
        let facts = self.0;
        let word = facts.word;
        let mut lines = vec![format!("- name: {word}"), format!("  preset: {word}")];
        lines.push(format!("  url: {}", facts.url));
        match (facts.scheme, facts.sign) {
            (None, _) => {}
            (Some(_), "") => {
                lines.push(format!("  sign: {{ secret_file: /run/secrets/{word} }}"));
            }
            (Some(_), sign) => lines.push(format!("  sign: {sign}")),
        }
        lines.extend(facts.more.iter().map(|line| format!("  {line}")));
        lines.into_iter().map(|line| format!("  {line}\n")).collect()
    }

    /// Its page, in Markdown.
    #[must_use]
    pub fn page(self) -> String {
        let facts = self.0;
        let url = facts.url.parse().map(|url| self.complete(&url).to_string()).unwrap_or_default();
        let headers: Vec<String> = self
            .headers()
            .iter()
            .map(|(name, value)| format!("`{name}: {}`", value.to_str().unwrap_or_default()))
            .collect();
        let mut rows =
            vec![("dialect", format!("`{}`", facts.dialect)), ("posts to", format!("`{url}`"))];
        if !headers.is_empty() {
            rows.push(("headers", headers.join(", ")));
        }
        let who = match (facts.scheme, facts.must_sign) {
            (None, _) => "nobody: it asks no one who he is".to_owned(),
            (Some(scheme), true) => format!("`{}`, required", scheme.as_str()),
            (Some(scheme), false) => format!("`{}`", scheme.as_str()),
        };
        rows.push(("knows us by", who));
        rows.push(("answers are read as", format!("`{}`", facts.answers.as_str())));
        if let Some(timeout) = facts.timeout {
            rows.push(("an attempt may take", format!("{} s", timeout.as_secs())));
        }
        let rows: String =
            rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
        format!(
            "# `{}`\n\n{}\n\n| | |\n|---|---|\n{rows}\n\
             ## What to create there\n\n{}\n\n\
             ## The endpoint\n\n```yaml\nendpoints:\n{}```\n\n\
             ## How to see that it works\n\n{}\n",
            facts.word,
            facts.about,
            facts.create,
            self.example(),
            facts.see,
        )
    }
}
