"""The operators and attributes that a file may name, by number. The order is part of the format: only ever append.

Operators of the default ONNX domain without control flow, sequences, strings or randomness: a graph of these always ends,
computes nothing but tensors, and cannot reach outside the file.
"""

OPERATORS = tuple(
    """
    Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
    BatchNormalization BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike
    CausalConvWithState Ceil Celu CenterCropPad Clip Col2Im Compress Concat ConstantOfShape Conv ConvInteger
    ConvTranspose Cos Cosh CumProd CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div Dropout
    DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements
    GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity InstanceNormalization
    IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual LinearAttention Log LogSoftmax
    LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization
    MelWeightMatrix Min Mish Mod Mul Neg NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Or PRelu
    Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Resize ReverseSequence RoiAlign RotaryEmbedding Round STFT Scatter ScatterElements ScatterND Selu
    Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth
    Split Sqrt Squeeze Sub Sum SwiGLU Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu
    Unique Unsqueeze Upsample Where Xor
    """.split()
)

ATTRIBUTES = tuple(
    """
    activation activation_alpha activation_beta activations align_corners allowzero alpha antialias approximate
    auto_pad axes axis batch_axis batch_dims beta bias block_size blocksize broadcast ceil_mode center_point_box
    chunk_size clip consumed_inputs coordinate_transformation_mode count_include_pad cubic_coeff_a
    detect_negative detect_positive dilations direction dtype end ends epsilon equation exclude_outside
    exclusive extrapolation_value fmod gamma group height_scale hidden_size ignore_index input_forget
    interleaved inverse is_causal is_test k keep_aspect_ratio_policy keepdims kernel_shape kv_num_heads lambd
    largest layout left_window_size linear_before_reset max min mode momentum nearest_mode noop_with_empty_axes
    num_groups num_heads num_outputs offset_group onesided output_datatype output_dtype output_height
    output_padding output_sequence output_shape output_width p padding_mode paddings pads periodic perm
    pooled_shape precision q_num_heads qk_matmul_output_mode ratio reduction reverse right_window_size
    rotary_embedding_dim round_mode sampling_ratio saturate scale scales seed select_last_index shape size
    softcap softmax_precision sorted spatial spatial_scale split start starts stash_type storage_order strides
    time_axis to training_mode transA transB update_rule upper value width_scale
    """.split()
)
