use anyhow::Result;
use tokio::task::JoinSet;

use crate::figure::Better;
use crate::figure::Figure;
use crate::figure::Target;
use crate::lineup::Column;
use crate::lineup::Contender;
use crate::lineup::Scene;
use crate::lineup::Stage;
use crate::lineup::medians;
use crate::lineup::rounds;
use crate::options::Options;
use crate::pki::KeyExchange;
use crate::sink::Sink;

/// Handshakes under way at the same time.
const AT_ONCE: usize = 4;

/// Full handshakes, none resumed, with the key exchange that everybody can, and with the newer one that
/// Pushbell prefers.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let mut contenders = stage
        .line_up(Scene { name: "handshakes", upstream: sink.port, ..Scene::default() })
        .await?;
    let mut figures = Vec::new();
    for (name, exchange, target) in [
        ("full handshake, X25519: CPU ms", KeyExchange::Classical, Target::TimesBest(0.5)),
        ("full handshake, X25519MLKEM768: CPU ms", KeyExchange::PostQuantum, Target::None),
    ] {
        let samples = rounds(stage, name, &mut contenders, options.rounds, 1, async |contender| {
            one(stage, contender, exchange, options.sizes.handshakes).await
        });
        let columns =
            vec![Column { name: name.to_owned(), better: Better::Less, digits: 3, goal: target }];
        figures.extend(medians(&samples.await, columns));
    }
    Ok(figures)
}

async fn one(
    stage: &Stage,
    contender: &Contender,
    exchange: KeyExchange,
    handshakes: usize,
) -> Result<Vec<f64>> {
    if contender.front.is_none() {
        return Ok(Vec::new());
    }
    // OpenSSL has it from 3.5 on, which is not what is measured here.
    if exchange == KeyExchange::PostQuantum && !contender.is_ours() {
        return Ok(Vec::new());
    }
    contender.warm_up(stage).await?;
    let before = contender.cpu()?;
    let each = handshakes / AT_ONCE;
    let mut running = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, port) = (stage.client.clone(), contender.target.port);
        running.spawn(async move {
            for _ in 0..each {
                client.shake_hands(port, exchange).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let spent = contender.spent_since(before.as_ref())?;
    Ok(vec![spent * 1e3 / f64::from(u32::try_from(each * AT_ONCE)?)])
}
