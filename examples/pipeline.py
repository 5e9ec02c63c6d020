"""A step of mean shift as one stage of a scikit-learn pipeline: points move to where they are dense, which parts two moons."""

from sklearn.cluster import AgglomerativeClustering
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from registry import get

points, moons = make_moons(1000, noise=0.12, random_state=0)
step = FunctionTransformer(get("meanshift_step"), kw_args={"bandwidth": 0.15})
neighbours = AgglomerativeClustering(2, linkage="single")  # joins what is near each other, so that one stray point is a bridge
for name, pipeline in {
    "without a step": make_pipeline(StandardScaler(), neighbours),
    "with one step": make_pipeline(StandardScaler(), step, neighbours),
    "with two steps": make_pipeline(StandardScaler(), step, step, neighbours),
}.items():
    agreement = adjusted_rand_score(moons, pipeline.fit_predict(points))
    print(f"{name}: the clusters agree with the moons to {agreement:.2f} (adjusted Rand index)")
