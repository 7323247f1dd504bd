//! COPY and MOVE.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use daemun_http::StatusCode;
use daemun_server::{Outcome, Request, Response};

use super::access::folder_mode;
use super::refusal::refuse;
use super::{Dav, Depth, destination, done, expect_no_body, is_folder, path_of, refused, tree};

/// What is copied or moved, and where to.
struct Transfer {
    from: PathBuf,
    to: PathBuf,
    facts: Metadata,
    /// What stands at the destination; a link is itself.
    replaced: Option<Metadata>,
}

pub(super) async fn copy(_: &Dav, request: &mut Request) -> Result<Outcome, Outcome> {
    let transfer = prepare(request, "COPY", &[Depth::Infinity, Depth::Zero], "\"Depth\" header must be 0 or infinity")?;
    if transfer.facts.is_dir() {
        transfer.make_room(request).await?;
        transfer.copy_tree(request).await?;
        return Ok(Outcome::Respond(Response::new(StatusCode::CREATED)));
    }
    let copied = tree::copy_file(&transfer.from, &transfer.to).await;
    copied.map_err(|error| refuse(request, "copying to", &transfer.to, &error, StatusCode::CONFLICT))?;
    Ok(done())
}

pub(super) async fn rename(conf: &Dav, request: &mut Request) -> Result<Outcome, Outcome> {
    let transfer = prepare(request, "MOVE", &[Depth::Infinity], "\"Depth\" header must be infinity")?;
    if transfer.facts.is_dir() {
        transfer.make_room(request).await?;
        if fs::rename(&transfer.from, &transfer.to).is_err() {
            transfer.copy_tree(request).await?;
            let removed = tree::remove(request, &transfer.from).await;
            removed.map_err(|error| refuse(request, "rmdir()", &transfer.from, &error, StatusCode::NOT_FOUND))?;
        }
        return Ok(Outcome::Respond(Response::new(StatusCode::CREATED)));
    }
    let moved = transfer.move_file(folder_mode(conf.file_mode())).await;
    moved.map_err(|error| refuse(request, "rename()", &transfer.to, &error, StatusCode::CONFLICT))?;
    Ok(done())
}

/// Reads the head and looks at both ends.
fn prepare(request: &Request, method: &str, depths: &[Depth], of_depth: &str) -> Result<Transfer, Outcome> {
    expect_no_body(request, "COPY and MOVE with body are unsupported")?;
    let to_uri = destination::uri(request)?;
    if !destination::depth(request, Depth::Infinity).is_some_and(|depth| depths.contains(&depth)) {
        return Err(refused(request, StatusCode::BAD_REQUEST, format_args!("{of_depth}")));
    }
    let overwrites = destination::overwrites(request)?;
    let (from, to) = (path_of(request, &request.uri)?, path_of(request, &to_uri)?);
    let is_tree = is_folder(&to_uri);
    let shown = || (String::from_utf8_lossy(&request.uri), String::from_utf8_lossy(&to_uri));
    // Components are compared, not octets: doubled slashes make no other place.
    if from == to || is_tree && (from.starts_with(&to) || to.starts_with(&from)) {
        let (one, other) = shown();
        let message = format_args!("\"{one}\" could not be {method}ed to \"{other}\"");
        return Err(refused(request, StatusCode::FORBIDDEN, message));
    }
    let replaced = match fs::symlink_metadata(&to) {
        Ok(facts) => Some(facts),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(refuse(request, "lstat()", &to, &error, StatusCode::NOT_FOUND)),
    };
    if let Some(found) = &replaced {
        if found.is_dir() && !is_tree {
            let (one, other) = shown();
            let message = format_args!("\"{one}\" could not be {method}ed to collection \"{other}\"");
            return Err(refused(request, StatusCode::CONFLICT, message));
        }
        if !overwrites {
            let message = format_args!("\"{}\" could not be created (17: File exists)", to.display());
            return Err(refused(request, StatusCode::PRECONDITION_FAILED, message));
        }
    }
    let facts = fs::symlink_metadata(&from);
    let facts = facts.map_err(|error| refuse(request, "lstat()", &from, &error, StatusCode::NOT_FOUND))?;
    if facts.is_dir() != is_tree {
        let message = format_args!("only a collection's path ends in a slash: \"{}\"", from.display());
        let status = if facts.is_dir() { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
        return Err(refused(request, status, message));
    }
    Ok(Transfer { from, to, facts, replaced })
}

impl Transfer {
    /// Removes what a tree is to stand in the place of.
    async fn make_room(&self, request: &Request) -> Result<(), Outcome> {
        let removed = match &self.replaced {
            None => return Ok(()),
            Some(found) if found.is_dir() => tree::remove(request, &self.to).await,
            Some(_) => fs::remove_file(&self.to),
        };
        removed.map_err(|error| refuse(request, "unlink()", &self.to, &error, StatusCode::NOT_FOUND))
    }

    async fn copy_tree(&self, request: &Request) -> Result<(), Outcome> {
        let made = DirBuilder::new().mode(self.facts.mode() & 0o777).create(&self.to);
        made.map_err(|error| refuse(request, "mkdir()", &self.to, &error, StatusCode::CONFLICT))?;
        let copied = tree::copy(request, &self.from, &self.to).await;
        copied.map_err(|error| refuse(request, "opendir()", &self.from, &error, StatusCode::NOT_FOUND))
    }

    /// `folders`: permissions of the folders above the destination, which are made.
    async fn move_file(&self, folders: u32) -> io::Result<()> {
        let error = match fs::rename(&self.from, &self.to) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::NotFound => {
                let folder = self.to.parent().unwrap_or_else(|| Path::new("/"));
                DirBuilder::new().recursive(true).mode(folders).create(folder)?;
                fs::rename(&self.from, &self.to)
            }
            io::ErrorKind::CrossesDevices => {
                tree::copy_file(&self.from, &self.to).await?;
                fs::remove_file(&self.from)
            }
            _ => Err(error),
        }
    }
}
