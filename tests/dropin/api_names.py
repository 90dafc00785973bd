"""The tests of ONNX Runtime's Python API by name, and why some of them are not ours to pass.

The bodies are our own, for what is done and not for the words of messages. They stand under the
same names in `test_api_sessions.py`, `test_api_values.py` and `test_api_others.py`, and hold for
ONNX Runtime and for us.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from sardonyx.formats import to_bytes
from sardonyx.graph.parse import from_text

CPU = ["CPUExecutionProvider"]
GPU = "asks a GPU's provider, and nothing where there is none"
WINDOWS = "asks a Windows build, and nothing elsewhere"
LIBRARY = "loads a compiled library of custom operators or of a provider"

MAIN = """
    tvm_imported get_version_string get_build_info model_serialization
    model_serialization_with_external_initializers
    model_serialization_with_external_initializers_to_directory
    model_serialization_with_original_external_initializers_to_directory
    model_serialization_with_original_external_initializers_to_current_directory
    get_providers enabling_and_disabling_telemetry set_default_logger_callback
    deserialization_from_path_object set_providers set_providers_with_options
    invalid_set_providers session_providers get_and_set_tuning_results
    run_model_with_optional_sequence_input run_model run_async run_model_from_bytes run_model2
    run_model2_contiguous run_model_multiple_threads list_as_input string_list_as_input run_device
    run_model_symbolic_input boolean_inputs string_input1 string_input2 input_bytes input_object
    input_void raise_wrong_num_inputs model_meta profiler_with_session_options
    profiler_get_start_time_ns graph_optimization_level sequence_length sequence_construct
    sequence_insert ort_execution_mode loading_session_options_from_model
    session_options_add_free_dimension_override_by_denotation
    session_options_add_free_dimension_override_by_name session_options_add_config_entry
    invalid_session_options_config_entry session_options_add_initializer
    session_options_add_external_initializers
    session_options_add_external_initializers_from_files_in_memory register_custom_ops_library
    ort_value ort_value_gh_issue9799 ort_value_dlpack ort_value_dlpack_zero_size
    ort_value_array_protocol run_output_does_not_alias_input_passthrough
    run_session_owned_output_is_zero_copy ort_value_dlpack_protocol
    ort_value_from_dlpack_protocol_object ort_value_from_dlpack_bool sparse_tensor_coo_format
    sparse_tensor_csr_format run_model_with_cuda_copy_stream ort_device ort_memory_info
    ort_memory_info_create_v2 shared_allocator_using_create_and_register_allocator
    memory_arena_shrinkage check_and_normalize_provider_args create_allocator multiple_devices
    adater_export_read run_with_adapter run_base_model get_graph_provider_assignment_info
    get_graph_provider_assignment_info_not_enabled tree_ensemble_logistic
"""
OTHERS = """
    bind_input_to_cpu_arr bind_input_types bind_input_only bind_input_and_preallocated_output
    bind_input_and_non_preallocated_output bind_input_and_bind_output_with_ortvalues
    zip_map_string_float zip_map_int64_float dict_vectorizer label_encoder run_model_mlnet
    run_model_tree_ensemble_aionnxml_3 run_sparse_output_ort_value_vector run_sparse_output_only
    run_contrib_sparse_mat_mul backend_run_model
    allocation_plan_works_with_only_execute_path_to_fetches_option 3_level_control_flow_ops_graph
    symlink_model_and_data_under_same_directory symlink_with_data_in_model_sub_dir
    symlink_with_data_not_in_model_sub_dir global_threadpool
    raise_error_if_use_per_session_threads compile_with_files_prefer_npu_policy
    compile_shared_resources_plugin_ep compile_with_ep_selection_delegate
    compile_with_input_and_output_files compile_flags_error_if_no_compiled_nodes
    compile_flags_error_if_output_file_exists compile_to_file_with_input_model_in_buffer
    compile_from_buffer_to_buffer
    compile_model_with_outer_scope_initializer_used_only_in_subgraph
    compile_graph_optimization_level compile_from_file_to_stream
    compile_to_stream_that_raises_exception compile_with_basic_initializer_location_func
    compile_with_initializer_func_that_reuses fail_load_uncompiled_model_and_then_compile
"""
NAMES = (*MAIN.split(), *OTHERS.split())
NOT_OURS = {
    "tvm_imported": GPU,
    "set_providers": GPU,
    "set_providers_with_options": GPU,
    "session_providers": GPU,
    "get_and_set_tuning_results": GPU,
    "ort_value_gh_issue9799": GPU,
    "run_model_with_cuda_copy_stream": GPU,
    "multiple_devices": GPU,
    "3_level_control_flow_ops_graph": GPU,
    "fail_load_uncompiled_model_and_then_compile": GPU,
    "compile_with_files_prefer_npu_policy": WINDOWS,
    "compile_with_ep_selection_delegate": WINDOWS,
    "register_custom_ops_library": LIBRARY,
    "raise_error_if_use_per_session_threads": "there are no threads of the process to share",
    "loading_session_options_from_model": "a model does not set how it is run",
    "session_options_add_external_initializers_from_files_in_memory": (
        "data come from files; `add_external_initializers` takes arrays"
    ),
    "run_session_owned_output_is_zero_copy": "outputs own their memory, which runs write to",
    "run_sparse_output_ort_value_vector": "a sparse constant that is an output comes dense",
    "run_sparse_output_only": "a sparse constant that is an output comes dense",
    "run_contrib_sparse_mat_mul": "sparse inputs are not run",
    "compile_with_basic_initializer_location_func": "initializers go inside or to one file",
    "compile_with_initializer_func_that_reuses": "initializers go inside or to one file",
    "compile_shared_resources_plugin_ep": LIBRARY,
}

X = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def model(*lines: str) -> bytes:
    """A model of text, without its braces and opset."""
    return to_bytes(from_text("\n".join(["graph g {", 'opset "" 17', *lines, "}"])))


MUL = model(
    "input X: float32[3, 2]",
    "const W = float32[3, 2] {1, 2, 3, 4, 5, 6}",
    "Y: float32[3, 2] = Mul(X, W)",
    "output Y",
)
MATMUL = model(
    "input X: float32[3, 2]",
    "const W = float32[2, 1] {1, 2}",
    "Y: float32[3, 1] = MatMul(X, W)",
    "output Y",
)
WORDS = model("input x: string[2, 2]", "y: string[2, 2] = Identity(x)", "output y")


def session(lib: Any, made: Any, *args: Any, **named: Any) -> Any:
    """A session of either library on the CPU."""
    return lib.InferenceSession(made, *args, **{"providers": CPU, **named})


def capi(lib: ModuleType) -> Any:
    """The module of either library with the names of ONNX Runtime's core."""
    return importlib.import_module(f"{lib.__name__}.capi.onnxruntime_pybind11_state")
