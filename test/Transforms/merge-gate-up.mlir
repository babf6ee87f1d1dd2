// swiglu(linear(x, Wg), linear(x, Wu)) -> swiglu(linear(x, [Wg; Wu])), shared by all entry points.
// RUN: sinter-opt %s --xfmr-merge-gate-up > %t.once
// RUN: FileCheck %s < %t.once
// RUN: sinter-opt %t.once --xfmr-merge-gate-up > %t.twice
// RUN: diff %t.once %t.twice

// One merged symbol, though two functions merge; the order is gate, up even where up comes first.
// CHECK:       xfmr.weight @layers.3.mlp.gate_up : tensor<8x8xbf16> from [#xfmr.source<"gate.weight", 0, 4>, #xfmr.source<"up.weight", 0, 4>]
// CHECK-NOT:   xfmr.weight @layers.3
xfmr.weight @layers.3.mlp.up : tensor<4x8xbf16> from [#xfmr.source<"up.weight", 0, 4>]
xfmr.weight @layers.3.mlp.gate : tensor<4x8xbf16> from [#xfmr.source<"gate.weight", 0, 4>]

// CHECK-LABEL: func @first
// CHECK-SAME:    "merge-gate-up" = {candidates = 1 : i64, fused = 1 : i64, missed = {}}
// CHECK-NEXT:    %[[W:.*]] = xfmr.get_weight @layers.3.mlp.gate_up
// CHECK-NEXT:    %[[Y:.*]] = xfmr.linear %arg0, %[[W]] : {{.*}} -> tensor<?x8xbf16>
// CHECK-NEXT:    xfmr.swiglu %[[Y]] : (tensor<?x8xbf16>) -> tensor<?x4xbf16>
func.func @first(%x: tensor<?x8xbf16>) -> tensor<?x4xbf16> {
  %wu = xfmr.get_weight @layers.3.mlp.up : tensor<4x8xbf16>
  %u = xfmr.linear %x, %wu : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %wg = xfmr.get_weight @layers.3.mlp.gate : tensor<4x8xbf16>
  %g = xfmr.linear %x, %wg : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %y = xfmr.swiglu %g, %u : (tensor<?x4xbf16>, tensor<?x4xbf16>) -> tensor<?x4xbf16>
  return %y : tensor<?x4xbf16>
}
// CHECK-LABEL: func @second
// CHECK-NEXT:    xfmr.get_weight @layers.3.mlp.gate_up
func.func @second(%x: tensor<?x8xbf16>) -> tensor<?x4xbf16> {
  %wu = xfmr.get_weight @layers.3.mlp.up : tensor<4x8xbf16>
  %wg = xfmr.get_weight @layers.3.mlp.gate : tensor<4x8xbf16>
  %g = xfmr.linear %x, %wg : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %u = xfmr.linear %x, %wu : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %y = xfmr.swiglu %g, %u : (tensor<?x4xbf16>, tensor<?x4xbf16>) -> tensor<?x4xbf16>
  return %y : tensor<?x4xbf16>
}

// CHECK-LABEL: func @gate_is_up
// CHECK-SAME:    missed = {"gate and up are one linear" = 1 : i64}
xfmr.weight @a : tensor<4x8xbf16> from [#xfmr.source<"a", 0, 4>]
xfmr.weight @b : tensor<4x8xbf16> from [#xfmr.source<"b", 0, 4>]
xfmr.weight @c : tensor<4x8xf32> from [#xfmr.source<"c", 0, 4>]
xfmr.weight @d : tensor<4x8xbf16> from [#xfmr.source<"d", 0, 4>]
xfmr.weight @e : tensor<4x8xbf16> from [#xfmr.source<"e", 0, 4>]
xfmr.weight @f : tensor<4x8xbf16> from [#xfmr.source<"f", 0, 4>]
xfmr.weight @g : tensor<4x8xbf16> from [#xfmr.source<"g", 0, 4>]
func.func @gate_is_up(%x: tensor<?x8xbf16>) -> tensor<?x4xbf16> {
  %w = xfmr.get_weight @a : tensor<4x8xbf16>
  %g = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %y = xfmr.swiglu %g, %g : (tensor<?x4xbf16>, tensor<?x4xbf16>) -> tensor<?x4xbf16>
  return %y : tensor<?x4xbf16>
}

// CHECK-LABEL: func @gate_with_two_users
// CHECK-SAME:    missed = {"gate or up has another user" = 1 : i64}
func.func @gate_with_two_users(%x: tensor<?x8xbf16>) -> (tensor<?x4xbf16>, tensor<?x4xbf16>) {
  %wg = xfmr.get_weight @d : tensor<4x8xbf16>
  %wu = xfmr.get_weight @e : tensor<4x8xbf16>
  %g = xfmr.linear %x, %wg : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %u = xfmr.linear %x, %wu : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %y = xfmr.swiglu %g, %u : (tensor<?x4xbf16>, tensor<?x4xbf16>) -> tensor<?x4xbf16>
  return %y, %g : tensor<?x4xbf16>, tensor<?x4xbf16>
}

// CHECK-LABEL: func @different_inputs
// CHECK-SAME:    missed = {"the linears read different inputs" = 1 : i64}
func.func @different_inputs(%x: tensor<?x8xbf16>, %z: tensor<?x8xbf16>) -> tensor<?x4xbf16> {
  %wg = xfmr.get_weight @g : tensor<4x8xbf16>
  %wu = xfmr.get_weight @b : tensor<4x8xbf16>
  %g = xfmr.linear %x, %wg : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %u = xfmr.linear %z, %wu : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %y = xfmr.swiglu %g, %u : (tensor<?x4xbf16>, tensor<?x4xbf16>) -> tensor<?x4xbf16>
  return %y : tensor<?x4xbf16>
}

// CHECK-LABEL: func @different_element_types
// CHECK-SAME:    missed = {"the linears have different element types" = 1 : i64}
func.func @different_element_types(%x: tensor<?x8xbf16>) -> tensor<?x4xbf16> {
  %wg = xfmr.get_weight @f : tensor<4x8xbf16>
  %wu = xfmr.get_weight @c : tensor<4x8xf32>
  %g = xfmr.linear %x, %wg : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %u = xfmr.linear %x, %wu : (tensor<?x8xbf16>, tensor<4x8xf32>) -> tensor<?x4xbf16>
  %y = xfmr.swiglu %g, %u : (tensor<?x4xbf16>, tensor<?x4xbf16>) -> tensor<?x4xbf16>
  return %y : tensor<?x4xbf16>
}

// CHECK-LABEL: func @weight_from_elsewhere
// CHECK-SAME:    missed = {"a weight does not come from the checkpoint" = 1 : i64}
func.func @weight_from_elsewhere(%x: tensor<?x8xbf16>, %wg: tensor<4x8xbf16>, %wu: tensor<4x8xbf16>)
    -> tensor<?x4xbf16> {
  %g = xfmr.linear %x, %wg : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %u = xfmr.linear %x, %wu : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %y = xfmr.swiglu %g, %u : (tensor<?x4xbf16>, tensor<?x4xbf16>) -> tensor<?x4xbf16>
  return %y : tensor<?x4xbf16>
}
