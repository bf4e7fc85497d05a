//! A form on its way to its reader, which keeps whatever is ready until it finds the boundary it looks for: so it gets a little at a
//! time, and not much before the file begins. What comes behind that, the file's own limit ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

/// What a form may add to the file in it.
pub(super) const FORM: usize = 64 * 1024;
/// The reader looks at what it has after each of these.
const PIECE: usize = 16 * 1024;

/// The content of a form, until more than [`FORM`] came before `found` says that its file was found.
pub(super) fn narrow(
    content: BoxStream<'static, Result<Bytes, io::Error>>,
    found: Arc<AtomicBool>,
) -> BoxStream<'static, Result<Bytes, io::Error>> {
    let begin = (content, Bytes::new(), FORM, found);
    let pieces = stream::try_unfold(begin, |(mut content, mut rest, mut left, found)| async move {
        // The reader takes all that is ready: this has it look in between.
        tokio::task::yield_now().await;
        while rest.is_empty() {
            match content.try_next().await? {
                Some(piece) => rest = piece,
                None => return Ok(None),
            }
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        if !found.load(Ordering::Relaxed) {
            left = left.checked_sub(piece.len()).ok_or_else(|| io::Error::other("there is no file in the form"))?;
        }
        Ok(Some((piece, (content, rest, left, found))))
    });
    pieces.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::extract::{FromRequest, Multipart, Request};
    use axum::http::header::CONTENT_TYPE;

    async fn form(content: BoxStream<'static, Result<Bytes, io::Error>>, found: &Arc<AtomicBool>) -> Multipart {
        let request = Request::post("/").header(CONTENT_TYPE, "multipart/form-data; boundary=edge");
        let body = Body::from_stream(narrow(content, found.clone()));
        Multipart::from_request(request.body(body).unwrap(), &()).await.unwrap()
    }

    #[tokio::test]
    async fn a_form_without_its_boundary_and_a_part_without_an_end_of_its_head_are_refused_early() {
        for begin in ["", "--edge\r\ncontent-disposition: form-data; name=\"file\"; x=\""] {
            let endless = stream::iter([Bytes::from(begin)]).chain(stream::repeat(Bytes::from(vec![b'x'; 1000])));
            let mut form = form(endless.map(Ok).boxed(), &Arc::default()).await;
            assert!(form.next_field().await.is_err());
        }
    }

    #[tokio::test]
    async fn a_file_that_comes_in_one_great_piece_is_read_whole() {
        let head = "--edge\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\n";
        let whole = [head.as_bytes(), &vec![7; FORM * 4], b"\r\n--edge--\r\n"].concat();
        let found = Arc::new(AtomicBool::new(false));
        let mut form = form(stream::iter([Ok(Bytes::from(whole))]).boxed(), &found).await;
        let part = form.next_field().await.unwrap().unwrap();
        found.store(true, Ordering::Relaxed);
        assert_eq!(part.bytes().await.unwrap().len(), FORM * 4);
    }
}
