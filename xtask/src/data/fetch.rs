//! One package from its registry: by the registry's own program, which knows mirrors and proxies, or by curl.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{Package, Registry};
use crate::steps::say;

/// The path of the package in `folder`; fetched where it is not there, or not whole.
pub(super) fn package(package: &Package, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join(package.file);
    if path.is_file() && sum(&path)? == package.sha256 {
        return Ok(path);
    }
    let program = by_program(package, folder);
    let found = match &program {
        Ok(()) => path.is_file() && sum(&path)? == package.sha256,
        Err(_) => false,
    };
    if !found {
        if let Err(error) = program {
            say(&format!("  {error:#}; trying curl"));
        }
        by_curl(package, folder, &path)?;
    }
    let found = sum(&path)?;
    if found != package.sha256 {
        bail!(
            "{} has SHA-256 {found}; expected {}. It is not the file that was published",
            path.display(),
            package.sha256
        );
    }
    Ok(path)
}

/// npm, pip or apt-get.
fn by_program(package: &Package, folder: &Path) -> Result<()> {
    let Package { name, version, .. } = package;
    let (program, arguments): (&str, Vec<String>) = match package.from {
        Registry::Npm => ("npm", vec!["pack".into(), "--silent".into(), format!("{name}@{version}")]),
        Registry::PyPi => {
            let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", "."];
            let mut arguments: Vec<String> = pip.map(str::to_owned).to_vec();
            arguments.push(format!("{name}=={version}"));
            ("python3", arguments)
        }
        Registry::Debian => ("apt-get", vec!["download".into(), "--quiet".into(), format!("{name}={version}")]),
    };
    let output = Command::new(program).args(&arguments).current_dir(folder).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}", why.trim().lines().last().unwrap_or("failed without a word"));
    }
    // apt writes the colon of an epoch and the like as %3a; none of these has one.
    Ok(())
}

/// Plain HTTPS from the public registry; continues a download that was cut off.
fn by_curl(package: &Package, folder: &Path, path: &Path) -> Result<()> {
    let Package { name, version, file, .. } = package;
    let url = match package.from {
        Registry::Npm => {
            let short = name.rsplit('/').next().unwrap_or(name);
            format!("https://registry.npmjs.org/{name}/-/{short}-{version}.tgz")
        }
        Registry::PyPi => {
            let initial = name.chars().next().unwrap_or('a');
            format!("https://files.pythonhosted.org/packages/py3/{initial}/{name}/{file}")
        }
        Registry::Debian => {
            let initial = name.chars().next().unwrap_or('a');
            format!("https://deb.debian.org/debian/pool/main/{initial}/{name}/{file}")
        }
    };
    let partial = folder.join(format!("{file}.partial"));
    let status = Command::new("curl")
        .args(["--fail", "--location", "--silent", "--show-error", "--continue-at", "-", "--output"])
        .arg(&partial)
        .arg(&url)
        .status()
        .context("cannot start curl")?;
    if !status.success() {
        bail!("cannot fetch {url}");
    }
    std::fs::rename(&partial, path).with_context(|| format!("cannot rename {}", partial.display()))
}

/// SHA-256 of a file.
fn sum(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    std::io::copy(&mut file, &mut hash).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
