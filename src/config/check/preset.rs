//! What a preset's receiver wants beyond its dialect, held against what is written.

use http::HeaderName;
use http::HeaderValue;

use crate::config::Sign;
use crate::config::error::Located;
use crate::config::file;
use crate::config::url::Url;
use crate::delivery::Preset;
use crate::delivery::sign::PLACEHOLDER;
use crate::delivery::sign::Scheme;

use super::Checker;

impl Checker<'_> {
    /// What `sign` means where it leaves open by what the receiver knows us.
    pub(super) fn presumed(
        &mut self,
        mut sign: Located<file::Sign>,
        preset: Option<&Located<Preset>>,
    ) -> Located<file::Sign> {
        let Some(preset) = preset else {
            return sign;
        };
        let place = sign.place.clone();
        let open = sign.value.scheme.is_none() && !self.problems.touch(place.below("scheme").key());
        if let Some(scheme) = preset.scheme().filter(|_| open) {
            sign.value.scheme = Some(Located::new(scheme, place.clone()));
        }
        let by_query = sign.value.scheme.as_ref().is_some_and(|s| s.value == Scheme::QuerySecret);
        if let (true, None, Some(wanted)) = (by_query, &sign.value.parameter, preset.parameter()) {
            sign.value.parameter = Some(Located::new(wanted.to_owned(), place));
        }
        sign
    }

    /// Whether the receiver would know us.
    pub(super) fn known(
        &mut self,
        preset: Option<&Located<Preset>>,
        url: Option<&Located<Url>>,
        sign: Option<&Sign>,
    ) {
        let scheme = sign.map(|sign| sign.scheme);
        if let Some(preset) = preset.filter(|preset| preset.must_sign()) {
            let wanted = preset.scheme().map(Scheme::as_str).unwrap_or_default();
            let word = preset.as_str();
            match sign {
                None => {
                    let message = format!(
                        "the receiver of the preset `{word}` refuses whoever it does not know by `{wanted}`"
                    );
                    let remedy =
                        "write `sign: { secret_file: … }`, with what that receiver was given";
                    let remedy =
                        if wanted == "oidc" { "write `sign: { token_file: … }`" } else { remedy };
                    self.wrong(&preset.place, message, remedy);
                }
                Some(sign) if Some(sign.scheme) != preset.scheme() => {
                    let message = format!(
                        "the receiver of the preset `{word}` knows us by `{wanted}`, not by `{}`",
                        sign.scheme.as_str()
                    );
                    self.wrong(&sign.place, message, "remove the scheme, or the preset");
                }
                Some(_) => {}
            }
        }
        let Some(url) = url else {
            return;
        };
        let whole = preset.map_or_else(|| url.uri().clone(), |preset| preset.complete(url.uri()));
        let fills = matches!(scheme, Some(Scheme::PathSecret | Scheme::QuerySecret));
        if whole.to_string().contains(PLACEHOLDER) && !fills {
            let message = format!(
                "the URL has a place for a secret, `{PLACEHOLDER}`, and nothing puts one there"
            );
            let remedy = "write `sign: { scheme: path-secret, secret_file: … }`, or the whole path";
            self.wrong(&url.place, message, remedy);
        }
    }
}

/// The headers that an endpoint says, and before them those of its preset that it does not.
pub(super) fn with_presets(
    preset: Option<&Located<Preset>>,
    said: Vec<(HeaderName, HeaderValue)>,
) -> Vec<(HeaderName, HeaderValue)> {
    let its = preset.map(|preset| preset.headers()).unwrap_or_default();
    let open = |name: &HeaderName| !said.iter().any(|(other, _)| other == name);
    let mut headers: Vec<_> = its.into_iter().filter(|(name, _)| open(name)).collect();
    headers.extend(said);
    headers
}
