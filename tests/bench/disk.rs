use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;

/// What a durable event costs at least: a write of 1 KiB at the end of a file, and its sync.
pub(crate) struct Disk {
    file: File,
}

impl Disk {
    /// The disk that this directory is on.
    pub(crate) fn under(directory: &Path) -> Result<Self> {
        let file = directory.join("disk");
        let file =
            OpenOptions::new().create(true).append(true).open(&file).context("open a file")?;
        Ok(Self { file })
    }

    /// How long it takes here and now, in milliseconds.
    pub(crate) fn sync(&mut self) -> Result<f64> {
        let started = Instant::now();
        self.file.write_all(&[0xa5; 1024])?;
        self.file.sync_data()?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    }
}
