//! Where passes run: the processor, or a GPU that this program was built for and that is there.

use std::sync::OnceLock;

use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::DeviceType;

use isogain_core::recipe;

use crate::Error;

/// The device that a recipe asks for.
///
/// # Errors
/// When this program was built without it, or it is not there.
pub fn device(wanted: recipe::Device) -> Result<Device, Error> {
    // To look for one takes some fifty milliseconds, and every training asks.
    static CUDA: OnceLock<Result<Device, &str>> = OnceLock::new();
    static WGPU: OnceLock<Result<Device, &str>> = OnceLock::new();
    let (name, found) = match wanted {
        recipe::Device::Cpu => return Ok(Device::flex()),
        recipe::Device::Cuda => ("cuda", CUDA.get_or_init(cuda)),
        recipe::Device::Wgpu => ("wgpu", WGPU.get_or_init(wgpu)),
    };
    found.clone().map_err(|why| {
        Error::Mismatch(format!("run.device = \"{name}\": {why}; device = \"cpu\" trains on the processor"))
    })
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device, &'static str> {
    let found = Device::enumerate(DeviceType::Cuda).into_vec().into_iter().next();
    found.ok_or("there is no GPU of NVIDIA's with a driver here")
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device, &'static str> {
    Err("this isogain was built without it: cargo install --path crates/isogain-cli --features cuda")
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, &'static str> {
    if Device::enumerate(DeviceType::Wgpu).into_vec().is_empty() {
        return Err("there is no GPU with a driver for Vulkan, Metal or DirectX 12 here");
    }
    Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device, &'static str> {
    Err("this isogain was built without it: cargo install --path crates/isogain-cli --features wgpu")
}
