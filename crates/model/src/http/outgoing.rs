//! The response of a service, independent of the transport.

pub(super) struct OutgoingResponse {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}
