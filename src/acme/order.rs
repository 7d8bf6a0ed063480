use std::fs;
use std::io;
use std::time::Duration;

use instant_acme::Account;
use instant_acme::AccountCredentials;
use instant_acme::AuthorizationStatus;
use instant_acme::CertificateIdentifier;
use instant_acme::ChallengeType;
use instant_acme::ExternalAccountKey;
use instant_acme::Identifier;
use instant_acme::NewAccount;
use instant_acme::NewOrder;
use instant_acme::Order;
use instant_acme::OrderStatus;
use instant_acme::RetryPolicy;
use time::OffsetDateTime;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::certs;
use crate::certs::Identity;
use crate::certs::Request;
use crate::certs::printable;

use super::Answers;
use super::Challenge;
use super::Config;
use super::certificate_path;
use super::client::Client;
use super::error;
use super::error::Error;
use super::state::State;
use super::state::account_path;
use super::state::write;

/// One order, from the account to the file.
pub(super) struct Job<'a> {
    pub(super) config: &'a Config,
    pub(super) state: &'a mut State,
    pub(super) answers: &'a Answers,
}

/// When a CA wants a certificate to be renewed.
pub(super) struct Renewal {
    pub(super) start: OffsetDateTime,
    pub(super) end: OffsetDateTime,
    /// How long that holds.
    pub(super) again: Duration,
}

/// How long a CA may take to validate, and to issue.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// How often one thing is asked again whose nonce was refused, beyond what the library does: some servers
/// refuse good ones.
const NONCES: u32 = 8;

/// Calls until the nonce is taken (RFC 8555 §6.5).
macro_rules! insist {
    ($client:expr, $call:expr) => {{
        let mut left = NONCES;
        loop {
            match $call {
                Err(refused) if left > 0 && is_bad_nonce(&refused) => left -= 1,
                answered => break answered.map_err(|error| Error::of(error, $client.patience())),
            }
        }
    }};
}

impl Job<'_> {
    /// The certificate, new, in its file.
    pub(super) async fn run(mut self, current: Option<&Identity>) -> Result<Identity, Error> {
        let client = Client::new(&self.config.tls);
        let (account, mut order) = self.open(&client, current).await?;
        if order.state().status == OrderStatus::Pending {
            self.validate(&client, &mut order).await?;
        }
        drop(account);
        if order.state().status == OrderStatus::Ready {
            let request = Request::generate().map_err(|source| Error::Keep { source })?;
            let key = request.key().map_err(|source| Error::Keep { source })?;
            let name = format!("{}.order.key", self.config.identity);
            let kept = write(&self.config.files, name, key.as_bytes().to_vec()).await;
            kept.map_err(|source| Error::Keep { source })?;
            let request = request.for_names(&self.config.names);
            let request = request.map_err(|source| Error::Keep { source })?;
            insist!(client, order.finalize_csr(&request).await)?;
        }
        let chain = insist!(client, order.poll_certificate(&PATIENCE).await)?;
        self.keep(chain).await
    }

    /// When the CA wants `current` to be renewed; nothing where it does not say.
    pub(super) async fn renewal(&mut self, current: &Identity) -> Result<Option<Renewal>, Error> {
        let client = Client::new(&self.config.tls);
        let account = self.account(&client).await?;
        let certified = current.certified_key();
        let Some(id) = certificate_id(&certified) else {
            return Ok(None);
        };
        match account.renewal_info(&id).await {
            Ok((told, again)) => {
                let window = told.suggested_window;
                Ok(Some(Renewal { start: window.start, end: window.end, again }))
            }
            Err(instant_acme::Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(Error::of(error, client.patience())),
        }
    }

    /// The order that was under way, or a new one.
    pub(super) async fn open(
        &mut self,
        client: &Client,
        current: Option<&Identity>,
    ) -> Result<(Account, Order), Error> {
        let mut account = self.account(client).await?;
        if let Some(url) = self.state.saved.order.take() {
            let found = insist!(client, account.order(url.clone()).await);
            match found {
                Ok(mut order) => {
                    if self.goes_on(order.state().status) {
                        self.state.saved.order = Some(url);
                        return Ok((account, order));
                    }
                }
                // The CA has forgotten it.
                Err(Error::Refused { .. }) => {}
                Err(error) => {
                    self.state.saved.order = Some(url);
                    return Err(error);
                }
            }
        }
        let names: Vec<Identifier> =
            self.config.names.iter().map(|name| Identifier::Dns(name.clone())).collect();
        let certified = current.map(Identity::certified_key);
        let mut replaces = certified.as_deref().and_then(certificate_id);
        let mut renewed = false;
        loop {
            let mut wanted = NewOrder::new(&names);
            if let Some(id) = &replaces {
                wanted = wanted.replaces(id.clone());
            }
            let mut left = NONCES;
            let made = loop {
                match account.new_order(&wanted).await {
                    Err(refused) if left > 0 && is_bad_nonce(&refused) => left -= 1,
                    made => break made,
                }
            };
            match made {
                Ok(order) => {
                    self.state.saved.order = Some(order.url().to_owned());
                    self.state.save().await;
                    return Ok((account, order));
                }
                // The account is gone, as after a test server's restart: we are somebody new.
                Err(instant_acme::Error::Api(problem))
                    if error::kind(&problem) == "accountDoesNotExist" && !renewed =>
                {
                    renewed = true;
                    account = self.new_account(client).await?;
                }
                // Whoever knows nothing of renewals, or of this one, takes an order all the same.
                Err(refused) if replaces.is_some() && is_about_replacing(&refused) => {
                    replaces = None;
                }
                Err(refused) => return Err(Error::of(refused, client.patience())),
            }
        }
    }

    fn goes_on(&self, status: OrderStatus) -> bool {
        match status {
            OrderStatus::Pending | OrderStatus::Ready => true,
            OrderStatus::Processing | OrderStatus::Valid => self.state.order_key().is_file(),
            OrderStatus::Invalid => false,
        }
    }

    /// The account that we have, or a new one.
    async fn account(&mut self, client: &Client) -> Result<Account, Error> {
        let path = account_path(self.config);
        let known: AccountCredentials = match fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(known) => known,
                Err(_) => return self.new_account(client).await,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.new_account(client).await;
            }
            Err(source) => return Err(Error::Keep { source: certs::Error::Read { path, source } }),
        };
        let account = Account::builder_with_http(Box::new(client.clone()));
        account.from_credentials(known).await.map_err(|error| Error::of(error, client.patience()))
    }

    async fn new_account(&mut self, client: &Client) -> Result<Account, Error> {
        let contact = self.config.contact.as_ref().map(|contact| format!("mailto:{contact}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external =
            self.config.external_account.as_ref().map(|account| {
                ExternalAccountKey::new(account.key_id.clone(), account.key.expose())
            });
        let (account, credentials) = insist!(
            client,
            Account::builder_with_http(Box::new(client.clone()))
                .create(&wanted, self.config.directory.clone(), external.as_ref())
                .await
        )?;
        let bytes = serde_json::to_vec(&credentials).unwrap_or_default();
        let path = account_path(self.config);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        write(&self.config.files, name, bytes).await.map_err(|source| Error::Keep { source })?;
        Ok(account)
    }

    /// Lets the CA see that the names are ours.
    async fn validate(&mut self, client: &Client, order: &mut Order) -> Result<(), Error> {
        let failed = |error| Error::of(error, client.patience());
        let mut left = NONCES;
        'again: loop {
            let mut all = order.authorizations();
            while let Some(next) = all.next().await {
                match next {
                    Ok(_) => {}
                    Err(refused) if left > 0 && is_bad_nonce(&refused) => {
                        left -= 1;
                        continue 'again;
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
            break;
        }
        let mut all = order.authorizations();
        while let Some(next) = all.next().await {
            let mut authorization = next.map_err(failed)?;
            let name = authorization.identifier().to_string();
            if !self.config.names.iter().any(|ours| ours.eq_ignore_ascii_case(&name)) {
                return Err(Error::Foreign { name: printable(&name) });
            }
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let offered: Vec<String> =
                authorization.challenges.iter().map(|c| format!("{:?}", c.r#type)).collect();
            let (kind, wanted) = match self.config.challenge {
                Challenge::Http01 => (ChallengeType::Http01, "http-01"),
                Challenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
            };
            let Some(mut challenge) = authorization.challenge(kind) else {
                let offered = certs::list_names(offered);
                return Err(Error::NoChallenge { name: printable(&name), wanted, offered });
            };
            let answer = challenge.key_authorization();
            match self.config.challenge {
                Challenge::Http01 => self.answers.tokens.answer(&challenge.token, answer.as_str()),
                Challenge::TlsAlpn01 => {
                    let digest = answer.digest();
                    let answered = self.answers.challenges.answer(&name, digest.as_ref());
                    answered.map_err(|source| Error::Keep { source })?;
                }
            }
            insist!(client, challenge.set_ready().await)?;
        }
        let ended = insist!(client, order.poll_ready(&PATIENCE).await);
        match ended {
            Ok(OrderStatus::Ready) => Ok(()),
            Err(error @ (Error::Unfinished | Error::Unreachable { .. } | Error::Unable { .. })) => {
                Err(error)
            }
            Ok(_) | Err(_) => Err(Error::NotValidated { detail: reasons(order).await }),
        }
    }

    /// Checks what the CA issued, and only then writes it where it is used.
    async fn keep(&mut self, chain: String) -> Result<Identity, Error> {
        let (files, identity) = (self.config.files.clone(), self.config.identity.clone());
        let (names, order_key) = (self.config.names.clone(), self.state.order_key());
        let written = spawn_blocking(move || {
            let key = Request::load(&order_key)
                .and_then(|request| request.key())
                .map_err(|source| Error::Keep { source })?;
            let both = Zeroizing::new(format!("{}{chain}", key.as_str()));
            let locked = certs::Locked::open(&files).map_err(|source| Error::Keep { source })?;
            let put = |name: &str| {
                let written = locked.write(name, both.as_bytes(), certs::Readers::Owner);
                written.map_err(|source| Error::Keep { source })
            };
            let (tried, path) =
                (files.join(format!("{identity}.new.pem")), certificate_path(&files, &identity));
            put(&format!("{identity}.new.pem"))?;
            let good = Identity::load(&identity, &tried, &tried, OffsetDateTime::now_utc());
            let missing = |new: &Identity| names.iter().find(|name| !new.covers(name)).cloned();
            let good = good.and_then(|new| match missing(&new) {
                Some(name) => Err(certs::Error::NameLost {
                    path: tried.clone(),
                    name,
                    names: certs::list_names(new.names()),
                }),
                None => Ok(()),
            });
            good.map_err(|source| Error::Unusable { source })?;
            put(&format!("{identity}.pem"))?;
            // Whatever stays behind is written over the next time.
            fs::remove_file(&tried).ok();
            fs::remove_file(&order_key).ok();
            Identity::load_of_any_age(&identity, &path, &path)
                .map_err(|source| Error::Unusable { source })
        });
        written.await.unwrap_or(Err(Error::Unfinished))
    }
}

/// Which certificate it is, to a CA that knows of renewals (RFC 9773 §4.1).
fn certificate_id(
    certified: &rustls::sign::CertifiedKey,
) -> Option<CertificateIdentifier<'static>> {
    let leaf = certified.end_entity_cert().ok()?;
    CertificateIdentifier::try_from(leaf).ok().map(CertificateIdentifier::into_owned)
}

fn is_bad_nonce(error: &instant_acme::Error) -> bool {
    matches!(error, instant_acme::Error::Api(problem) if error::kind(problem) == "badNonce")
}

fn is_about_replacing(error: &instant_acme::Error) -> bool {
    match error {
        instant_acme::Error::Unsupported(_) => true,
        instant_acme::Error::Api(problem) => {
            matches!(error::kind(problem), "alreadyReplaced" | "malformed")
        }
        instant_acme::Error::Other(told) => told.to_string().starts_with("replaces field"),
        _ => false,
    }
}

/// What the CA saw at each name, in its own words.
async fn reasons(order: &mut Order) -> String {
    let mut told = Vec::new();
    let mut all = order.authorizations();
    while let Some(Ok(mut authorization)) = all.next().await {
        let mut left = NONCES;
        while let Err(error) = authorization.refresh().await.map(drop) {
            if left == 0 || !is_bad_nonce(&error) {
                break;
            }
            left -= 1;
        }
        let name = authorization.identifier().to_string();
        for challenge in &authorization.challenges {
            if let Some(problem) = &challenge.error {
                told.push(format!("{}: {}", printable(&name), error::words(problem)));
            }
        }
    }
    if told.is_empty() { "it does not say why".to_owned() } else { told.join("; ") }
}
