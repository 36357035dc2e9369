// Code generated from the flavor files by "make gen"; DO NOT EDIT.

package targets

import "context"

// TritonOriginMultiarch_15_4_1 builds triton-origin-multiarch-15.4.1, on minimal-multiarch-lts@15.4.1.
func TritonOriginMultiarch_15_4_1(ctx context.Context) error {
	return buildImages(ctx, "triton-origin-multiarch-15.4.1")
}

// TritonOriginX86_64_18_4_0 builds triton-origin-x86_64-18.4.0, on minimal-64-lts@18.4.0.
func TritonOriginX86_64_18_4_0(ctx context.Context) error {
	return buildImages(ctx, "triton-origin-x86_64-18.4.0")
}

// TritonOriginX86_64_19_4_0 builds triton-origin-x86_64-19.4.0, on minimal-64-lts@19.4.0.
func TritonOriginX86_64_19_4_0(ctx context.Context) error {
	return buildImages(ctx, "triton-origin-x86_64-19.4.0")
}

// TritonOriginX86_64_21_4_0 builds triton-origin-x86_64-21.4.0, on minimal-64-lts@21.4.0.
func TritonOriginX86_64_21_4_0(ctx context.Context) error {
	return buildImages(ctx, "triton-origin-x86_64-21.4.0")
}

// TritonOriginX86_64_23_4_0 builds triton-origin-x86_64-23.4.0, on minimal-64-lts@23.4.0.
func TritonOriginX86_64_23_4_0(ctx context.Context) error {
	return buildImages(ctx, "triton-origin-x86_64-23.4.0")
}

// TritonOriginX86_64_24_4_1 builds triton-origin-x86_64-24.4.1, on minimal-64-lts@24.4.1.
func TritonOriginX86_64_24_4_1(ctx context.Context) error {
	return buildImages(ctx, "triton-origin-x86_64-24.4.1")
}
