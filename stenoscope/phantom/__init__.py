"""Simulated coronary angiograms with known truth: a cohort for everybody, and the only one with full truth.

========================  ==============================================================================
`streams`                 independent random streams, addressed by name
`anatomy`                 right and left coronary trees in three dimensions
`motion`                  heart beat, breathing, table
`bolus`                   contrast over time along the tree
`projection`              cone-beam projection of tubes
`background`, `devices`   chest; catheter, wires, leads, burned-in text
`detector`                Beer-Lambert, scatter, quantum noise, collimator
`lesions`                 stenoses, applied last
`scene`                   all of the above for one clip, whatever its label
`clip`                    one clip, rendered, with its truth
`dicom_writer`            the clip as X-Ray Angiographic Image Storage
`cohort`                  all clips of all patients, with labels.csv and truth.json
========================  ==============================================================================
"""
