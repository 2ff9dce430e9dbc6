"""The meaning of each heading of a page, in one sentence."""

from __future__ import annotations

from benchbench.spec.metric_names import without_unit

MEANINGS = {
    "rank": "Order of the means among comparable rows. It says nothing about significance: see the tier.",
    "tier": "Places that a row shares with all rows that are not separable from the best row of its tier.",
    "dice": "2 TP / (2 TP + FP + FN) of each case as a whole volume, then the mean over cases.",
    "iou": "TP / (TP + FP + FN) of each case, then the mean over cases.",
    "accuracy": "Share of correct voxels. Background dominates it: an empty mask scores high.",
    "precision": "TP / (TP + FP): the share of the prediction that is correct.",
    "sensitivity": "TP / (TP + FN): the share of the reference that is found. Undefined for an empty reference.",
    "specificity": "TN / (TN + FP). Background dominates it.",
    "hd": "Greatest distance from one surface to the other.",
    "hd95": "95th percentile of the distances between surfaces; the larger of the two directions.",
    "hd95_pooled": "95th percentile of the distances of both directions together.",
    "hd95_surfel": "95th percentile of the distances, weighted by area; the larger of the two directions.",
    "assd": "Mean distance over the surface points of both masks.",
    "masd": "Mean of the two directed mean distances.",
    "nsd": "Share of both surfaces that is within the tolerance after the @, by area.",
    "nsd_voxel": "Share of both surfaces that is within the tolerance after the @, by voxels.",
    "lesion_dice": "Dice of each lesion, then the mean over lesions, by the rules of the challenge after the @.",
    "lesion_hd95": "`hd95_surfel` of each lesion, then the mean over lesions; 374 if missed or false positive.",
    "interval": "95 % interval of the mean. The line is drawn on the range of all rows.",
    "fold_mean": "Mean over the values of the runs.",
    "fold_sd": "Standard deviation over the values of the runs, with n - 1.",
    "dice_pos": "Mean Dice over the cases whose reference is not empty.",
    "n": "Number of cases.",
    "n_ref_empty": "Number of cases with an empty reference, added up over regions.",
    "runs": "Finished runs of the planned runs.",
    "parameters": "Number of trainable parameters.",
    "gmacs": "Billions of multiply-adds for one input of the patch size, as torch counts them; half of its FLOPs.",
    "gmacs_per_case": "Billions of multiply-adds for a case, over all its slices, windows, flips and checkpoints.",
    "uncounted": "Modules with parameters whose multiply-adds torch does not count; they are not in the sum.",
    "train_seconds": "Seconds of training, the mean over runs.",
    "seconds": "Seconds of a run from start to end, the mean over runs.",
    "gpu_hours": "GPU-hours of training, added up over GPUs and runs.",
    "ms_per_case_p50": "Median milliseconds from a prepared case to its mask on its own grid.",
    "ms_per_case_p90": "Milliseconds from a prepared case to its mask that 90 % of the cases stay below.",
    "images_per_second": "Inputs of the patch size per second through the network, at the batch size of training.",
    "peak_memory_bytes": "Peak memory of a run: of the GPU if there is one, otherwise of the process.",
    "runs_per_device": "Runs that may have shared a device; if there was more than one, times are not comparable.",
    "energy_wh": "Energy of the GPUs during training by their own counters, added up over runs.",
    "difference": "First minus second, the mean over cases.",
    "low": "Lower end of the 95 % interval.",
    "high": "Upper end of the 95 % interval.",
    "separable": "Yes if interval, adjusted test and test over folds all show a difference.",
    "wins": "Patients with a better score under the first model.",
    "ties": "Patients with equal scores.",
    "losses": "Patients with a better score under the second model.",
    "p": "Two-sided Wilcoxon signed-rank test over patients (zeros as in Pratt), not adjusted.",
    "p_holm": "The same test, adjusted by Holm for all comparisons of this table.",
    "p_folds": "Test over folds, corrected for overlapping training sets (Nadeau and Bengio).",
    "p_permutation": "Sign-flip permutation test over patients, as a check.",
    "rank_biserial": "Effect size from -1, where every patient is worse under the first model, to 1.",
    "p_better": "Probability that the first model is better by a relevant difference (Bayesian signed-rank test).",
    "p_same": "Probability that the difference is too small to be relevant (Bayesian signed-rank test).",
    "p_worse": "Probability that the first model is worse by a relevant difference (Bayesian signed-rank test).",
    "false_claim": "Probability that the model with the better mean is not the better one.",
    "smallest_detectable": "Difference that would be detected with 80 % power.",
    "choice": "Average, rule for empty masks or metric by which the rows could have been ordered instead.",
    "first": "The row that would be first.",
    "tau": "Kendall's tau-b with the order of the board: 1 for the same order, -1 for the reverse.",
    "moved": "The most places that any row moves.",
    "verdict": "reproduced: within the tolerance of the printed number; gap: not within; not comparable: see why.",
}
"""Heading without its unit or tolerance -> its meaning."""


def meaning(name: str) -> str:
    """Return the meaning of a column; empty if its name is clear enough."""
    return MEANINGS.get(without_unit(name).partition("@")[0], "")
