//! Secrets are named in the file and read from elsewhere, once, at the start.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::config::error::Located;
use crate::config::error::Place;
use crate::config::read::quoted;
use crate::config::tree::is_secret;
use crate::config::units::FilePath;
use crate::secret::Secret;

use super::Checker;

/// Bytes of a secret; what is longer is another file.
const MAX_BYTES: u64 = 64 * 1024;

impl Checker<'_> {
    /// The secret that `…_file` or `…_env` leads to; exactly one of them must be there.
    pub(super) fn secret(
        &mut self,
        parent: &Place,
        stem: &str,
        file: Option<Located<FilePath>>,
        variable: Option<Located<String>>,
    ) -> Option<Located<Secret>> {
        let (by_file, by_env) = (format!("{stem}_file"), format!("{stem}_env"));
        match (file, variable) {
            (Some(_), Some(variable)) => {
                let message = format!("both `{by_file}` and `{by_env}` are given");
                self.wrong(&variable.place, message, "keep one of the two");
                None
            }
            (Some(file), None) => {
                let file = self.path(file);
                self.secret_file(&file.value, &file.place)
            }
            (None, Some(variable)) => self.secret_variable(&variable),
            (None, None) => {
                let touched = [stem, &by_file, &by_env]
                    .iter()
                    .any(|name| self.problems.touch(parent.below(name).key()));
                if !touched {
                    let message = format!("neither `{by_file}` nor `{by_env}` is given");
                    let remedy = format!("write `{by_file}: /run/secrets/{stem}`");
                    self.wrong(&parent.below(&by_file), message, remedy);
                }
                None
            }
        }
    }

    /// A secret that stands in a file.
    pub(super) fn secret_file(&mut self, path: &Path, place: &Place) -> Option<Located<Secret>> {
        let shown = quoted(&path.display().to_string());
        let mut bytes = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        let (message, remedy) = match read {
            Err(error) => {
                let remedy = match error.kind() {
                    io::ErrorKind::NotFound => "create the file, or correct the path",
                    io::ErrorKind::PermissionDenied => "let the user we run as read it",
                    io::ErrorKind::IsADirectory => "name the file in the directory",
                    _ => "name a file that can be read",
                };
                (format!("could not read the secret in {shown}: {error}"), remedy)
            }
            Ok(_) if bytes.len() as u64 > MAX_BYTES => (
                format!("{shown} is larger than 64 KiB"),
                "name the file that holds the secret alone",
            ),
            Ok(_) => match stripped(bytes) {
                Some(secret) => return Some(Located::new(secret, place.clone())),
                None => {
                    (format!("the secret in {shown} is empty"), "write the secret into the file")
                }
            },
        };
        self.wrong(place, message, remedy);
        None
    }

    fn secret_variable(&mut self, name: &Located<String>) -> Option<Located<Secret>> {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || is_secret(name) {
            // It may be the secret itself, so it is not repeated.
            let remedy = "write the variable's name alone, such as `BUILD_SERVICE_SECRET`";
            self.wrong(&name.place, "this is no name of an environment variable", remedy);
            return None;
        }
        let value = self.environment.variable(name).map(|value| value.as_bytes().to_vec());
        let secret = value.and_then(stripped);
        if secret.is_none() {
            let message = format!("the environment variable {} is not set, or empty", quoted(name));
            self.wrong(&name.place, message, "set it where we are started, or use a file");
        }
        Some(Located::new(secret?, name.place.clone()))
    }
}

/// The bytes without one newline at the end, which editors add; nothing where nothing is left.
fn stripped(mut bytes: Vec<u8>) -> Option<Secret> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    (!bytes.is_empty()).then(|| Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_dropped() {
        for (bytes, expected) in [
            (&b"s"[..], Some(&b"s"[..])),
            (b"s\n", Some(b"s")),
            (b"s\r\n", Some(b"s")),
            (b"s\n\n", Some(b"s\n")),
            (b" s ", Some(b" s ")),
            (b"\n", None),
            (b"", None),
        ] {
            assert_eq!(stripped(bytes.to_vec()).as_ref().map(Secret::expose), expected);
        }
    }
}
