//! An operator's own body and headers, tried on a sample before anything is sent.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use crate::config::error::Located;
use crate::config::error::Place;
use crate::config::file;
use crate::delivery::Dialect;
use crate::delivery::Template;

use super::Checker;

/// The most bytes of a file with a template.
const LIMIT: u64 = 256 * 1024;

const NAMES: &str = "the names are those of `pushbell schema event` in `data`, and `id`, `source`, `type`, `subject` and `time`";

impl Checker<'_> {
    pub(super) fn template(
        &mut self,
        dialect: Dialect,
        written: Option<Located<file::Template>>,
        said: &Place,
    ) -> Option<Arc<Template>> {
        let Some(Located { value, place }) = written else {
            if dialect == Dialect::Template {
                let message =
                    "the dialect `template` writes what `template` says, and there is none";
                self.wrong(
                    said,
                    message,
                    "add `template: { body: '{\"image\": {{ reference }}}' }`",
                );
            }
            return None;
        };
        if dialect != Dialect::Template {
            let message = format!("`template` is of no use with the dialect `{dialect}`");
            self.wrong(&place, message, "remove the dialect, or the template");
            return None;
        }
        let body = match (value.body, value.body_file) {
            (Some(body), None) => body,
            (None, Some(path)) => {
                let file = self.path(path);
                let text = self.text(&file)?;
                Located::new(text, file.place)
            }
            (Some(body), Some(_)) => {
                self.wrong(
                    &body.place,
                    "`body` and `body_file` are both there",
                    "keep one of them",
                );
                return None;
            }
            (None, None) => {
                self.wrong(&place, "there is no body", "write `body`, or `body_file`");
                return None;
            }
        };
        let headers: Vec<(HeaderName, String)> = self
            .headers(value.headers)
            .into_iter()
            .filter_map(|(name, source)| Some((name, source.to_str().ok()?.to_owned())))
            .collect();
        let content_type = value.content_type.map(|content_type| content_type.value);
        match Template::new(body.value, content_type, headers) {
            Ok(template) => Some(Arc::new(template)),
            Err(invalid) => {
                self.wrong(&body.place, format!("the template does not work: {invalid}"), NAMES);
                None
            }
        }
    }

    fn text(&mut self, file: &Located<std::path::PathBuf>) -> Option<String> {
        let shown = file.value.display().to_string();
        match read(&file.value) {
            Ok(text) => Some(text),
            Err(error) => {
                let message = format!("could not read {shown}: {error}");
                self.wrong(&file.place, message, "put the file there, or correct the path");
                None
            }
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(std::io::Error::other("it has more than 256 KiB"));
    }
    Ok(text)
}
