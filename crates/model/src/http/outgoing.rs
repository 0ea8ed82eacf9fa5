//! What a service sends back, whatever it goes over.

/// What goes back.
pub(super) struct OutgoingResponse {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}
