//! A folder with one subfolder for each class, full of PNG images of one size.

use std::path::{Path, PathBuf};

use isogain_core::network::Shape;

use super::{Request, reachable};
use crate::error::{Error, Place, Result};
use crate::file::Opened;
use crate::number::Number;
use crate::png::{Image, decode};
use crate::raw::Raw;
use crate::sheet::{Answers, Column, Places, Sheet};
use crate::table::Values;

pub(crate) fn read(request: &Request<'_>) -> Result<Sheet> {
    let path = &request.path;
    if !reachable(path, request.key, &path.display().to_string())?.is_dir() {
        return Err(Error::whole(
            path,
            "is a file; format = \"images\" needs a folder with one subfolder for each class",
        ));
    }
    let mut first: Option<(PathBuf, Image)> = None;
    let (mut pixels, mut classes) = (Vec::new(), Vec::new());
    for folder in entries(path)? {
        if !folder.is_dir() {
            let message = "a file beside the folders of the classes; move it away";
            return Err(Error::whole(&folder, message));
        }
        let files = entries(&folder)?;
        if files.is_empty() {
            return Err(Error::whole(&folder, "no image in this folder, which would be a class of its own"));
        }
        let class = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in files {
            let image = image(&file)?;
            pixels.extend_from_slice(&image.pixels);
            classes.push(class.clone());
            match &first {
                None => first = Some((file, image)),
                Some((like, one)) if size(one) != size(&image) => {
                    let message = format!("{}; {} is {}", shown(&image), like.display(), shown(one));
                    return Err(Error::whole(&file, format!("{message}. All images must have one size")));
                }
                _ => {}
            }
        }
    }
    let Some((_, one)) = first.filter(|_| classes.len() > 1) else {
        return Err(Error::whole(path, format!("{} images; at least 2 are needed", classes.len())));
    };
    let shape = Shape::image(one.height, one.width, one.channels);
    let values = Values::Raw(Raw::memory(Number::U8, shape.values(), pixels));
    let column = Column { path: path.clone(), name: "folder".into(), texts: classes, places: Places::Rows };
    Ok(Sheet { path: path.clone(), shape, values, answers: Answers::Texts(column) })
}

/// What is in a folder, sorted; names that begin with a point are left out.
fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::system("read", path))? {
        let entry = entry.map_err(Error::system("read", path))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn image(path: &Path) -> Result<Image> {
    decode(&Opened::new(path)?.all()?).map_err(|error| Error::file(path, Place::Byte(error.byte), error.message))
}

fn size(image: &Image) -> (usize, usize, usize) {
    (image.height, image.width, image.channels)
}

fn shown(image: &Image) -> String {
    format!("{} x {} pixels of {} channels", image.height, image.width, image.channels)
}
