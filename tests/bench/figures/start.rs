use std::time::Instant;

use anyhow::Result;

use crate::client::Target as Address;
use crate::client::Tls;
use crate::lineup::Stage;
use crate::options::Options;
use crate::peers::Front;
use crate::peers::KINDS;
use crate::peers::Setting;
use crate::peers::free_port;
use crate::sink::Sink;
use crate::table::Better;
use crate::table::Figure;
use crate::table::Target;
use crate::table::median;

/// From the start of a fresh process to its first answer over TLS. It finds its certificate and its state
/// where it left them: making those is not what a restart waits for.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let mut samples = vec![Vec::new(); KINDS.len()];
    // The first start of each makes its state, and is not counted.
    for turn in 0..=options.starts {
        for (kind, samples) in KINDS.iter().zip(&mut samples) {
            if kind.find().is_none() {
                continue;
            }
            let directory = stage.directory.join("start").join(kind.name);
            let setting = Setting {
                directory: &directory,
                port: free_port()?,
                upstream: sink.port,
                pki: &stage.pki,
                webhook: None,
            };
            let target = Address { port: setting.port, tls: Tls::Yes };
            let started = Instant::now();
            let mut front = Front { process: kind.spawn(&setting)?, target };
            if let Err(error) = front.first_answer(&stage.client).await {
                eprintln!("{}: no start: {error:#}", kind.name);
                continue;
            }
            if turn > 0 {
                samples.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let values = KINDS.iter().zip(&samples);
    Ok(vec![Figure {
        name: "start to first answer over TLS: ms".to_owned(),
        better: Better::Less,
        digits: 1,
        values: values.filter_map(|(kind, ms)| Some((kind.name, median(ms)?))).collect(),
        target: Target::TimesBest(0.4),
    }])
}
