//! The power goes at any instant, under pushing clients, in front of a real registry on another disk: what was
//! acknowledged is delivered. The state is on an ext4 of its own that is shut down without flushing its log.

use std::collections::BTreeSet;
use std::path::Path;

use crate::kill::Known;
use crate::kill::SOON;
use crate::kill::applied;
use crate::kill::push_until;
use crate::kill::settle;
use crate::kill::told;
use crate::support::Disk;
use crate::support::Image;
use crate::support::Registry;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::has_points;
use crate::support::long;

/// Whoever cannot keep an event says so to its client: a success is one that is on the disk.
const REJECT: &str = "outbox: { on_failure: reject }\n";

struct Scene {
    stage: Stage,
    image: Image,
    /// After the stage, so that nobody has a file of it open when it goes.
    disk: Disk,
}

/// A stage whose state is on a disk of its own; nothing, where the machine has none for us.
fn scene() -> Option<Scene> {
    let mut disk = None;
    let stage =
        Stage::with("dialect: native\nconcurrency: 64\n", &(SOON.to_owned() + REJECT), |work| {
            disk = Disk::ext4(&work.join("disk.img"), &work.join("state"));
            Registry::start(work)
        });
    let image = Image::new(&stage.work, "in the dark");
    assert_eq!(stage.direct().push("team/app", "before", &image).status, 201);
    Some(Scene { stage, image, disk: disk? })
}

/// One round: pushes until the power goes, and then it comes back.
fn round(scene: &mut Scene, round: usize, known: &mut Known) {
    let Scene { stage, image, disk } = scene;
    // First ourselves: whoever goes on after the power is gone can be told by ext4 that a sync succeeded which was
    // under way, and act on it. Nothing writes back what was not synced in the moment between the two.
    push_until(stage, image, round, known, |sidecar| {
        sidecar.kill();
        disk.cut();
    });
    disk.restore();
}

#[test]
fn what_was_acknowledged_before_any_loss_of_power_is_delivered() {
    let Some(mut scene) = scene() else { return };
    let rounds = if long() { 300 } else { 3 };
    let mut known = Known::default();
    let mut logs = Vec::new();
    for n in 0..rounds {
        round(&mut scene, n, &mut known);
        logs.push(scene.stage.sidecar.printed());
        scene.stage.revive();
    }
    settle(&scene.stage);
    let (told, applied) = (told(&scene.stage), applied(&scene.stage));
    let untold = |tags: &BTreeSet<String>| -> Vec<String> {
        tags.iter().filter(|tag| !told.contains_key(*tag)).cloned().collect()
    };
    for tag in untold(&applied) {
        let round: usize = tag.split('-').next().unwrap().parse().unwrap();
        eprintln!("--- the life of {tag}, which nobody heard of\n{}", logs[round]);
    }
    assert!(untold(&known.acknowledged).is_empty(), "lost: {:?}", untold(&known.acknowledged));
    assert!(untold(&applied).is_empty(), "applied and never told: {:?}", untold(&applied));
    println!(
        "{rounds} losses of power, {} pushes acknowledged and {} open when it went; all told",
        known.acknowledged.len(),
        known.open.len()
    );
    assert!(known.acknowledged.len() > rounds, "too few were acknowledged to prove anything");
}

/// The control: without a sync the same loses what was acknowledged.
#[test]
fn what_is_not_synced_is_lost_with_the_power() {
    if !has_points() {
        return;
    }
    let Some(mut scene) = scene() else { return };
    scene.stage.sidecar.stop();
    let file = scene.stage.work.join("pushbell.yaml");
    let flags = ["--config", file.to_str().unwrap()];
    let bent = [("PUSHBELL_BEND", Path::new("no-sync"))];
    scene.stage.sidecar = Sidecar::with_flags(&scene.stage.work, &flags, &bent);
    // The receiver hears of nothing before the power is gone.
    scene.stage.receiver.down();
    let mut known = Known::default();
    round(&mut scene, 6, &mut known);
    scene.stage.receiver.up();
    scene.stage.revive();
    settle(&scene.stage);
    let told = told(&scene.stage);
    assert!(!known.acknowledged.is_empty());
    let lost = known.acknowledged.iter().filter(|tag| !told.contains_key(*tag)).count();
    assert!(lost > 0, "nothing was lost of {}", known.acknowledged.len());
}
