//! DLPack: how a tensor of another framework is read in place. Layouts from the specification, version 1.3.
//!
//! Two ways in: the C exchange API, which lends a tensor in about a tenth of a microsecond (PyTorch from 2.10 on), and
//! the capsule of `__dlpack__`, which everything else has (numpy, JAX, older PyTorch).

use std::cell::RefCell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods, PyType};

/// Ordinary memory of this process.
pub(crate) const CPU: i32 = 1;

/// Where a tensor lives.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    pub(crate) kind: i32,
    pub(crate) index: i32,
}

/// Type of an element.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataType {
    pub(crate) code: u8,
    pub(crate) bits: u8,
    pub(crate) lanes: u16,
}

/// `DLTensor`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawTensor {
    pub(crate) data: *mut c_void,
    pub(crate) device: Device,
    pub(crate) dimensions: i32,
    pub(crate) element: DataType,
    pub(crate) shape: *const i64,
    pub(crate) strides: *const i64,
    pub(crate) byte_offset: u64,
}

#[repr(C)]
struct ManagedTensor {
    tensor: RawTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut ManagedTensor)>,
}

#[repr(C)]
struct ExchangeApi {
    major: u32,
    minor: u32,
    previous: *mut c_void,
    allocate: *mut c_void,
    managed_from_object: *mut c_void,
    managed_to_object: *mut c_void,
    tensor_from_object: Option<unsafe extern "C" fn(*mut c_void, *mut RawTensor) -> c_int>,
    current_stream: *mut c_void,
}

const EXCHANGE_API: &CStr = c"dlpack_exchange_api";
const TENSOR: &CStr = c"dltensor";

/// A tensor lent by a Python object, for as long as this value lives.
pub(crate) struct Lent<'py> {
    pub(crate) raw: RawTensor,
    _owner: Owner<'py>,
}

enum Owner<'py> {
    Object(#[allow(dead_code)] Bound<'py, PyAny>),
    Capsule(#[allow(dead_code)] Bound<'py, PyCapsule>),
}

impl<'py> Lent<'py> {
    /// Borrows the tensor behind any object that speaks DLPack.
    ///
    /// # Errors
    /// `TypeError` for an object that does not, and whatever its own `__dlpack__` raises.
    pub(crate) fn from(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        match exchange_api(object)? {
            Some(api) => Self::through_exchange(object, api),
            None => Self::through_capsule(object),
        }
    }

    fn through_exchange(object: &Bound<'py, PyAny>, api: NonNull<ExchangeApi>) -> PyResult<Self> {
        let mut raw = RawTensor::EMPTY;
        // SAFETY: the table is static in the framework that published it, and its version was checked.
        let lend = unsafe { api.as_ref() }.tensor_from_object;
        let lend = lend.ok_or_else(|| PyTypeError::new_err("the DLPack exchange API lends no tensors"))?;
        // SAFETY: the table was published by this object's type; the tensor is lent while the object lives.
        let code = unsafe { lend(object.as_ptr().cast(), &raw mut raw) };
        if code != 0 {
            let error = PyErr::take(object.py());
            return Err(error.unwrap_or_else(|| PyTypeError::new_err("this tensor cannot be read through DLPack")));
        }
        Ok(Self { raw, _owner: Owner::Object(object.clone()) })
    }

    fn through_capsule(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let name = object.get_type().name()?.to_string();
        if !object.hasattr("__dlpack__")? {
            return Err(PyTypeError::new_err(format!(
                "a {name} is not a tensor: needs an array that speaks DLPack (torch, numpy, jax ...)"
            )));
        }
        // PyTorch lends no tensor that requires a gradient.
        let object = if object.hasattr("detach")? { object.call_method0("detach")? } else { object.clone() };
        let capsule = object.call_method0("__dlpack__")?.cast_into::<PyCapsule>()?;
        let managed = capsule.pointer_checked(Some(TENSOR))?.cast::<ManagedTensor>();
        // SAFETY: a capsule of that name holds a managed tensor. The capsule is kept, and not renamed to `used_dltensor`:
        // so it stays the owner, and frees the tensor when it is dropped.
        let raw = unsafe { managed.as_ref() }.tensor;
        Ok(Self { raw, _owner: Owner::Capsule(capsule) })
    }
}

impl RawTensor {
    const EMPTY: Self = Self {
        data: std::ptr::null_mut(),
        device: Device { kind: CPU, index: 0 },
        dimensions: 0,
        element: DataType { code: 0, bits: 0, lanes: 0 },
        shape: std::ptr::null(),
        strides: std::ptr::null(),
        byte_offset: 0,
    };
}

/// A type of tensor, and the exchange API that it publishes.
type Known = (Py<PyType>, Option<NonNull<ExchangeApi>>);

thread_local! {
    // One entry for each type of tensor met: the lookup by attribute costs more than the whole lending. The type is held,
    // so that its address names no other type later.
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// The exchange API that the object's type publishes, in a version whose layout is known.
fn exchange_api(object: &Bound<'_, PyAny>) -> PyResult<Option<NonNull<ExchangeApi>>> {
    let kind = object.get_type_ptr();
    let known = KNOWN.with_borrow(|known| known.iter().find(|(of, _)| of.as_ptr() == kind.cast()).map(|(_, api)| *api));
    if let Some(api) = known {
        return Ok(api);
    }
    let of = object.get_type();
    let api = match of.getattr_opt("__dlpack_c_exchange_api__")? {
        None => None,
        Some(capsule) => {
            let api = capsule.cast_into::<PyCapsule>()?.pointer_checked(Some(EXCHANGE_API))?.cast::<ExchangeApi>();
            // SAFETY: a capsule of that name holds this table; version 1 fixes the fields read here.
            let table = unsafe { api.as_ref() };
            (table.major == 1 && table.tensor_from_object.is_some()).then_some(api)
        }
    };
    KNOWN.with_borrow_mut(|known| known.push((of.unbind(), api)));
    Ok(api)
}
