"""Outputs for other programs: DICOM for an archive, ONNX, CSV for a spreadsheet, TensorBoard."""
