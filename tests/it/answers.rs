//! What a receiver answers is understood as it is meant, told in the log, and counted.

use crate::support::Answer;
use crate::support::Curl;
use crate::support::Image;
use crate::support::Stage;

/// A sidecar with an endpoint whose answers are read so, its receiver, and one push that was answered like this.
fn pushed(answers: &str, status: u16, body: &'static str) -> Stage {
    let stage = Stage::with_endpoint(&format!("dialect: native\nanswers: {answers}\n"));
    stage.receiver.afterwards(Answer::Said(status, body));
    let image = Image::new(&stage.work, answers);
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    stage
}

fn counted(stage: &Stage, meaning: &str) -> bool {
    let metrics = Curl::direct(&stage.work, &stage.sidecar.admin("")).get("/metrics").text();
    let line =
        format!("pushbell_delivery_answers_total{{endpoint=\"build\",meaning=\"{meaning}\"}} 1");
    metrics.lines().any(|metric| metric == line)
}

#[test]
fn a_200_that_refreshed_nothing_is_taken_and_warned_of() {
    let stage = pushed("kargo", 200, r#"{"msg":"refreshed 0 warehouse(s)"}"#);
    let line = [("outcome", "taken"), ("meaning", "nothing-matched"), ("status", "200")];
    let line = stage.sidecar.wait_for_log("what it means", &line).to_string();
    assert!(line.contains("no Warehouse subscribes") && line.contains("refreshed 0"), "{line}");
    let warning = [("level", "WARN"), ("message", "Nothing at the receiver waits for this event")];
    stage.sidecar.wait_for_log("a warning", &warning);
    assert!(counted(&stage, "nothing-matched"));
}

#[test]
fn a_400_that_ignores_on_purpose_is_not_repeated() {
    let stage = pushed("image-updater", 400, "ignoring action: push");
    let line = [("outcome", "taken"), ("meaning", "ignored"), ("status", "400")];
    stage.sidecar.wait_for_log("what it means", &line);
    assert!(counted(&stage, "ignored"));
}

#[test]
fn a_301_that_rejects_is_a_dead_letter_at_once() {
    let stage = pushed("dokploy", 301, r#"{"message":"Image Name Not Match"}"#);
    let line =
        [("outcome", "dead"), ("meaning", "rejected"), ("attempt", "1"), ("dead", "refused")];
    stage.sidecar.wait_for_log("what it means", &line);
    assert!(counted(&stage, "rejected"));
}

#[test]
fn the_same_answers_of_somebody_unknown_mean_what_their_status_says() {
    let stage = pushed("plain", 200, r#"{"msg":"refreshed 0 warehouse(s)"}"#);
    let line = [("outcome", "taken"), ("meaning", "delivered")];
    stage.sidecar.wait_for_log("what it means", &line);
    stage.receiver.afterwards(Answer::Said(301, ""));
    let image = Image::new(&stage.work, "another");
    assert_eq!(stage.curl().push("team/app", "2.0", &image).status, 201);
    let line = [("outcome", "retry"), ("meaning", "permanent"), ("status", "301")];
    stage.sidecar.wait_for_log("that it is tried again", &line);
}
