//! The token that operators have to know, `admin.token` in the state directory.

use std::fmt::Write as _;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use aws_lc_rs::rand;

use crate::config::Config;
use crate::secret::Secret;

use super::Error;

/// The name of its file.
const FILE: &str = "admin.token";

/// Bytes of randomness in one that we make.
const BYTES: usize = 32;

/// Where the token is that nobody said.
#[must_use]
pub fn admin_token_file(config: &Config) -> PathBuf {
    config.state_directory.join(FILE)
}

/// The token of the configuration, or that of the state directory.
///
/// # Errors
///
/// If its file is not there, others can read it, or it cannot be read.
pub fn admin_token(config: &Config) -> Result<Secret, Error> {
    if let Some(token) = &config.admin_token {
        return Ok(token.value.clone());
    }
    let path = admin_token_file(config);
    read(&path).map_err(|reason| Error::Token { path, reason })
}

/// The same, made where there is none.
pub(super) fn admin_token_or_new(config: &Config) -> Result<Secret, Error> {
    if config.admin_token.is_none() {
        let path = admin_token_file(config);
        match make(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::Token { path, reason: error.to_string() });
            }
            _ => {}
        }
    }
    admin_token(config)
}

fn read(path: &Path) -> Result<Secret, String> {
    let mode = fs::metadata(path).map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("others may read it (mode {:o}); `chmod 600` it", mode & 0o777));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let token = bytes.trim_ascii().to_vec();
    if token.is_empty() {
        return Err("it is empty; remove it, and the next start makes another".to_owned());
    }
    Ok(Secret::new(token))
}

fn make(path: &Path) -> io::Result<()> {
    let mut random = [0; BYTES];
    rand::fill(&mut random).map_err(|_| io::Error::other("there is no randomness"))?;
    let mut text = String::new();
    for byte in random {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
    }
    text.push('\n');
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
