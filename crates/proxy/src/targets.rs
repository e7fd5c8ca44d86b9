//! What sending to an endpoint needs, made once per endpoint: its checked address and its name as a header.

use std::sync::Arc;

use hashbrown::HashMap;
use http::HeaderValue;
use parking_lot::RwLock;
use roadstead_core::{Endpoint, EndpointId};
use roadstead_epp::PoolHandle;
use roadstead_net::Upstream;

/// An endpoint, ready to be sent to.
pub(crate) struct Target {
    endpoint: Arc<Endpoint>,
    /// Its address; `None` where it is not of the form `host:port`.
    pub(crate) upstream: Option<Upstream>,
    /// Its name.
    pub(crate) name: HeaderValue,
}

/// The targets made so far. An entry goes when its endpoint has left the pool and a new one comes.
#[derive(Default)]
pub(crate) struct Targets {
    made: RwLock<HashMap<EndpointId, Arc<Target>>>,
}

impl Targets {
    /// The target of `endpoint`, a member of `pool`.
    pub(crate) fn of(&self, endpoint: &Arc<Endpoint>, pool: &PoolHandle) -> Arc<Target> {
        if let Some(target) = self.made.read().get(&endpoint.id) {
            return target.clone();
        }
        let target = Arc::new(Target {
            endpoint: endpoint.clone(),
            upstream: Upstream::new(endpoint.authority.clone()).ok(),
            name: HeaderValue::from_str(&endpoint.name)
                .unwrap_or_else(|_| HeaderValue::from_static("unprintable")),
        });
        let mut made = self.made.write();
        made.retain(|_, target| pool.has(&target.endpoint));
        made.insert(endpoint.id, target.clone());
        target
    }
}
