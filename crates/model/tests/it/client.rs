//! A minimal client: one connection per call, and requests exactly as the test writes them.

use std::io;

use curfew_model::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client with an account's credentials in a region.
pub(crate) struct Client<'a> {
    server: &'a Server,
    account: &'a str,
    region: &'a str,
    signed: &'a str,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl<'a> Client<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        Self {
            server,
            account: "000000000000",
            region: "us-east-1",
            signed: "20261123T180000Z",
        }
    }

    pub(crate) fn account(mut self, account: &'a str) -> Self {
        self.account = account;
        self
    }

    pub(crate) fn region(mut self, region: &'a str) -> Self {
        self.region = region;
        self
    }

    pub(crate) fn signed(mut self, signed: &'a str) -> Self {
        self.signed = signed;
        self
    }

    /// Calls an action; the parameters must be form-encoded.
    pub(crate) async fn call(&self, action: &str, parameters: &str) -> Reply {
        self.try_call(action, parameters)
            .await
            .expect("the server answers")
    }

    /// Calls an action that may get no response.
    pub(crate) async fn try_call(&self, action: &str, parameters: &str) -> io::Result<Reply> {
        let form = format!("Action={action}&Version=2016-11-15&{parameters}");
        self.post(form.trim_end_matches('&')).await
    }

    pub(crate) async fn post(&self, body: &str) -> io::Result<Reply> {
        let Self {
            server,
            account,
            region,
            signed,
        } = self;
        let request = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nx-amz-date: {signed}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={account}/20261123/{region}/ec2/aws4_request, \
             SignedHeaders=host, Signature=0\r\n\
             content-type: application/x-www-form-urlencoded; charset=utf-8\r\ncontent-length: {}\r\n\r\n{body}",
            server.address,
            body.len(),
        );
        let mut stream = TcpStream::connect(server.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Ok(Reply {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }
}

impl Reply {
    /// Returns the texts of all elements of this name, in order.
    pub(crate) fn all(&self, element: &str) -> Vec<&str> {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        self.body
            .split(&open)
            .skip(1)
            .filter_map(|rest| rest.split_once(&close).map(|(text, _)| text))
            .collect()
    }

    /// Returns the text of the only element of this name.
    pub(crate) fn one(&self, element: &str) -> &str {
        match self.all(element)[..] {
            [text] => text,
            ref texts => panic!("{} of <{element}> in {}", texts.len(), self.body),
        }
    }

    /// Returns the status and code of an error.
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.one("Code"))
    }

    /// Returns the state changes as `previous->current`.
    pub(crate) fn changes(&self) -> Vec<String> {
        let names = self.all("name");
        names
            .chunks(2)
            .map(|pair| format!("{}->{}", pair[1], pair[0]))
            .collect()
    }
}
