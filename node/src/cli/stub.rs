//! A server for tests: says what it was told to say, one answer a request, and remembers what
//! it was asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::{client::Client, profile::Settings};

/// A server at work.
pub(super) struct Stub {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// Answers in this order, each on a connection of its own, then nobody is there.
    pub(super) fn start(answers: Vec<(u16, &str)>) -> Self {
        let answers = answers.into_iter().map(|(status, body)| {
            let later = if status == 429 { "retry-after: 0\r\n" } else { "" };
            format!(
                "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n{later}\r\n{body}",
                body.len()
            )
        });
        Self::raw(answers.collect())
    }

    /// The same with answers as they go over the wire.
    pub(super) fn raw(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                heard.lock().unwrap().push(serve(&stream, &answer));
            }
        });
        Self { url, asked }
    }

    pub(super) fn client(&self) -> Client {
        client_of(&[&self.url])
    }

    /// Method, path and the headers that matter of each request so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A client of these servers.
pub(super) fn client_of(urls: &[&str]) -> Client {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    Client::with(Settings { urls, ca: None, api_key: None }).unwrap()
}

fn serve(mut stream: &TcpStream, answer: &str) -> String {
    let mut reader = BufReader::new(stream);
    let (mut asked, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if asked.is_empty() {
            asked = line.trim_end_matches(" HTTP/1.1").to_owned();
        }
        match line.to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some((name @ ("last-event-id" | "authorization"), value)) => {
                asked.push_str(&format!(" [{name}: {value}]"));
            }
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    stream.write_all(answer.as_bytes()).unwrap();
    asked
}
