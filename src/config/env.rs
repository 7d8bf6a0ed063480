//! What is decided outside the file: by the command line, and by where we run.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;

/// Options of the command line, as typed. Each goes before the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--upstream`: `registry.upstream`.
    pub upstream: Option<String>,
    /// `--registry-name`: `registry.name`.
    pub registry_name: Option<String>,
    /// `--listen`: the address of the first listener that serves the registry.
    pub listen: Option<String>,
    /// `--admin`: the address of the first listener that serves admin and not the registry.
    pub admin: Option<String>,
    /// `--state-directory`: `state.directory`.
    pub state_directory: Option<PathBuf>,
    /// `--webhook`, each: an endpoint named `webhook`, the next `webhook-2`, and so on; one of the file
    /// with that name is replaced.
    pub webhooks: Vec<String>,
    /// `--webhook-secret-file`: signs the attempts to those.
    pub webhook_secret_file: Option<PathBuf>,
    /// `--webhook-ca`: the CA certificates those are trusted by.
    pub webhook_ca: Option<PathBuf>,
    /// `--webhook-insecure-http`: allows `http://` for those.
    pub webhook_insecure_http: bool,
    /// `--log-level`: `log.level`.
    pub log_level: Option<String>,
    /// `--log-format`: `log.format`.
    pub log_format: Option<String>,
}

/// What is to be known of the process and its machine; read by the composition root, never here.
#[derive(Clone, Default)]
pub struct Environment {
    /// The variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// The working directory: relative paths of the command line start there.
    pub directory: PathBuf,
    /// The machine's name, if it has one.
    pub hostname: Option<String>,
    /// Whether we run as root.
    pub is_root: bool,
}

impl Environment {
    /// A variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|v| !v.is_empty())
    }

    /// Where state is kept unless somebody says so.
    pub(super) fn state_directory(&self) -> Option<PathBuf> {
        // systemd separates several directories with colons; the first is ours.
        if let Some(paths) = self.variable("STATE_DIRECTORY") {
            return std::env::split_paths(paths).next();
        }
        if self.is_root {
            return Some(PathBuf::from("/var/lib/pushbell"));
        }
        let absolute = |name: &str| self.variable(name).map(Path::new).filter(|p| p.is_absolute());
        let state = absolute("XDG_STATE_HOME").map(Path::to_owned);
        let state = state.or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        state.map(|state| state.join("pushbell"))
    }
}

/// Variables hold secrets, so only their number prints.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.len())
            .field("directory", &self.directory)
            .field("hostname", &self.hostname)
            .field("is_root", &self.is_root)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_has_a_place() {
        let environment = |variables: &[(&str, &str)], is_root| Environment {
            variables: variables.iter().map(|(n, v)| (n.into(), v.into())).collect(),
            is_root,
            ..Environment::default()
        };
        for (variables, is_root, expected) in [
            (&[("STATE_DIRECTORY", "/a:/b"), ("HOME", "/h")][..], true, Some("/a")),
            (&[("HOME", "/h")], true, Some("/var/lib/pushbell")),
            (&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")], false, Some("/x/pushbell")),
            (&[("XDG_STATE_HOME", "x"), ("HOME", "/h")], false, Some("/h/.local/state/pushbell")),
            (&[("STATE_DIRECTORY", ""), ("HOME", "/h")], false, Some("/h/.local/state/pushbell")),
            (&[], false, None),
        ] {
            let found = environment(variables, is_root).state_directory();
            assert_eq!(found.as_deref(), expected.map(Path::new), "{variables:?}");
        }
        let text = format!("{:?}", environment(&[("TOKEN", "hunter2")], false));
        assert!(!text.contains("hunter2"));
    }
}
