use std::time::Instant;

use anyhow::Result;

use crate::client::Target as Address;
use crate::client::Tls;
use crate::figure::Better;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::Value;
use crate::lineup::Stage;
use crate::options::Options;
use crate::peers::Front;
use crate::peers::Setting;
use crate::peers::free_port;
use crate::sink::Sink;

/// From the start of a fresh process to its first answer over TLS. It finds its certificate and its state
/// where it left them: making those is not what a restart waits for.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let mut samples = vec![Vec::new(); stage.kinds.len()];
    // The first start of each makes its state, and is not counted.
    for turn in 0..=options.sizes.starts {
        let mut all: Vec<_> = stage.kinds.iter().zip(&mut samples).collect();
        if turn % 2 == 1 {
            all.reverse();
        }
        for (kind, samples) in all {
            if kind.find().is_none() || kind.scene.is_some() {
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
            let answered = front.first_answer(&stage.client).await;
            let took = match answered {
                Ok(()) => started.elapsed().as_secs_f64() * 1e3,
                Err(error) => {
                    eprintln!("{}: no start: {error:#}", kind.name);
                    f64::NAN
                }
            };
            if turn > 0 {
                samples.push(took);
            }
        }
    }
    let values = stage.kinds.iter().zip(&samples);
    Ok(vec![Figure {
        name: "start to first answer over TLS: ms".to_owned(),
        better: Better::Less,
        digits: 1,
        values: values.filter_map(|(kind, ms)| Value::median(kind.name, ms)).collect(),
        target: Target::TimesOf("nginx", 0.4),
    }])
}
